//! Requests to AWS are signed one by one, with credentials that are kept until they expire or are
//! refused. The signature itself is tested beside the code, with AWS's own test case.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::builder;
use crate::support::log::LOG;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tower_models_cache::{
    Preset, Provider, StaticModelsCacheLayer, bedrock::AwsCredentials, error::ListErrorKind,
};

const PAGES: [&str; 2] = [
    r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"eu.vendor.model-v1:0"}],"nextToken":"A/+="}"#,
    r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.vendor.model-v1:0"}]}"#,
];

/// A Bedrock region that refuses its first requests.
#[derive(Clone, Default)]
struct Region {
    refuses: usize,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    fetches: Arc<AtomicUsize>,
}

impl Region {
    fn refusing(refuses: usize) -> Self {
        Self {
            refuses,
            ..Self::default()
        }
    }

    fn layer(&self, lives: Option<Duration>) -> StaticModelsCacheLayer {
        let region = self.clone();
        let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let second = request.uri().query().unwrap().contains("nextToken");
            let mut requests = region.requests.lock().unwrap();
            requests.push((request.uri().to_string(), request.headers().clone()));
            let mut response = Response::new(Full::<Bytes>::from(PAGES[usize::from(second)]));
            if requests.len() <= region.refuses {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            async { Ok::<_, Infallible>(response) }
        });
        let fetches = Arc::clone(&self.fetches);
        let credentials = move || {
            let number = fetches.fetch_add(1, Ordering::SeqCst) + 1;
            let credentials = AwsCredentials::new(format!("AKID{number}"), "wJalr")
                .session_token(format!("session-{number}"));
            let credentials = match lives {
                Some(lives) => credentials.expires_in(lives),
                None => credentials,
            };
            async { Ok::<_, Infallible>(credentials) }
        };
        let provider = Provider::preset_with(Preset::BedrockProfiles, None, service)
            .base_url("https://bedrock.eu-central-1.amazonaws.com")
            .sigv4("eu-central-1", "bedrock", credentials);
        builder([provider]).build().unwrap()
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The addresses, and the access keys that signed the requests.
    fn requests(&self) -> Vec<(String, String)> {
        let requests = self.requests.lock().unwrap();
        let key = |headers: &HeaderMap| {
            let line = headers["authorization"].to_str().unwrap();
            assert!(headers["authorization"].is_sensitive());
            let rest = line.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
            assert!(
                rest.contains("/eu-central-1/bedrock/aws4_request, "),
                "{line}"
            );
            let signed = "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
            assert!(rest.contains(signed), "{line}");
            let key = rest.split('/').next().unwrap().to_owned();
            let session = headers["x-amz-security-token"].to_str().unwrap();
            assert_eq!(session.replace("session-", "AKID"), key);
            key
        };
        requests
            .iter()
            .map(|(uri, headers)| (uri.clone(), key(headers)))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn each_page_is_signed_with_cached_credentials() {
    let region = Region::default();
    let layer = region.layer(None);
    layer.cache().refresh().await.unwrap();
    layer.cache().refresh().await.unwrap();
    assert_eq!(layer.cache().snapshot().len(), 2);
    assert_eq!(region.fetches(), 1);
    let requests = region.requests();
    assert_eq!(requests.len(), 4);
    let address = "https://bedrock.eu-central-1.amazonaws.com/inference-profiles?maxResults=1000";
    assert_eq!(requests[0].0, address);
    assert_eq!(requests[1].0, format!("{address}&nextToken=A%2F%2B%3D"));
    // Another address needs another signature.
    let signatures: HashSet<_> = region.requests.lock().unwrap()[..2]
        .iter()
        .map(|(_, headers)| headers["authorization"].clone())
        .collect();
    assert_eq!(signatures.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_renewed_before_they_expire() {
    let region = Region::default();
    let layer = region.layer(Some(Duration::from_secs(3600)));
    for (after, fetches) in [(0, 1), (3500, 1), (41, 2), (3500, 2), (41, 3)] {
        tokio::time::advance(Duration::from_secs(after)).await;
        layer.cache().refresh().await.unwrap();
        assert_eq!(region.fetches(), fetches, "after {after} s more");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_renewed_once() {
    let region = Region::refusing(1);
    let layer = region.layer(None);
    layer.cache().refresh().await.unwrap();
    let keys: Vec<_> = region.requests().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["AKID1", "AKID2", "AKID2"]);

    let region = Region::refusing(usize::MAX);
    let layer = region.layer(None);
    let error = layer.cache().refresh().await.unwrap_err();
    assert_eq!(error.failures()[0].kind(), ListErrorKind::Status(403));
    assert_eq!((region.requests().len(), region.fetches()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn log_does_not_contain_credentials() {
    let log = &*LOG;
    let region = Region::default();
    region.layer(None).cache().refresh().await.unwrap();
    assert_eq!(region.requests().len(), 2);
    let log = log.text();
    assert!(log.contains("model list confirmed"), "{log}");
    for secret in ["AKID1", "wJalr", "session-1"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn invalid_region_or_service_is_refused() {
    let service = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let provider = Provider::http("a", service).base_url("https://bedrock.test");
    for (region, name, field) in [
        ("", "bedrock", "region"),
        ("eu central", "bedrock", "region"),
        ("eu-central-1", "bedrock\n", "service"),
    ] {
        let signed = provider
            .clone()
            .sigv4(region, name, || async { AwsCredentials::from_env() });
        let error = builder([signed]).build().unwrap_err();
        assert_eq!(error.field(), format!("providers.a.{field}"));
    }
}

#[test]
fn signing_needs_an_address() {
    let service = tower::service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let provider =
        Provider::http("a", service).sigv4("r", "bedrock", || async { AwsCredentials::from_env() });
    let error = builder([provider]).build().unwrap_err();
    assert_eq!(error.field(), "providers.a.base_url");
}
