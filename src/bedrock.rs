//! Amazon Bedrock: signing of requests with AWS Signature Version 4.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::{env, fmt, sync::Arc, time::Duration};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use futures_util::{TryFutureExt, future::BoxFuture};
use http::{Request, header};
use tracing::subscriber::{NoSubscriber, with_default};

use crate::{
    clock,
    error::{BoxError, BuildError, ListError, ListErrorKind},
    provider::{Authorize, CachedCredential, Provider},
    secret::Secret,
};

/// AWS credentials, to sign requests with.
///
/// `Debug` output does not show them.
#[derive(Clone)]
pub struct AwsCredentials {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expires_in: Option<Duration>,
}

impl AwsCredentials {
    /// Creates credentials from an access key: its id and the secret.
    pub fn new(access_key_id: impl Into<Secret>, secret_access_key: impl Into<Secret>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
            expires_in: None,
        }
    }

    /// Sets the session token of temporary credentials.
    pub fn session_token(mut self, token: impl Into<Secret>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Sets the remaining lifetime of the credentials. Without it they are used until AWS
    /// rejects them.
    ///
    /// New credentials are fetched before the old ones expire: earlier by a tenth of the
    /// lifetime, and by at most one minute.
    pub fn expires_in(mut self, duration: Duration) -> Self {
        self.expires_in = Some(duration);
        self
    }

    /// Reads the credentials from the environment variables `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and, if set and not empty, `AWS_SESSION_TOKEN`.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the first two is not set or empty, or if one of the three is
    /// not a valid header value. The error names the variable.
    pub fn from_env() -> Result<Self, BuildError> {
        let credentials = Self::new(
            Secret::from_env("AWS_ACCESS_KEY_ID")?,
            Secret::from_env("AWS_SECRET_ACCESS_KEY")?,
        );
        Ok(match env::var_os("AWS_SESSION_TOKEN") {
            Some(token) if !token.is_empty() => {
                credentials.session_token(Secret::from_env("AWS_SESSION_TOKEN")?)
            }
            _ => credentials,
        })
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").finish_non_exhaustive()
    }
}

impl Provider {
    /// Signs each request with AWS Signature Version 4, using the credentials returned by
    /// `fetch`. HTTP providers only.
    ///
    /// `service` is `bedrock` for the lists of models and of inference profiles, and
    /// `bedrock-mantle` for the OpenAI API.
    ///
    /// Credentials are fetched when a list is fetched, within the same deadline, and cached
    /// until they [expire](AwsCredentials::expires_in). If `fetch` fails, the fetch of the list
    /// fails with [`Credential`](crate::error::ListErrorKind::Credential). If the provider responds
    /// with status 401 or 403, the page is requested once more with new credentials.
    ///
    /// Building the layer fails without a [`base_url`](Self::base_url), since the host is
    /// signed, or if `region` or `service` contains other characters than letters, digits and
    /// hyphens.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_models_cache::{BuildError, Preset, Provider, bedrock::AwsCredentials};
    ///
    /// # let service = tower::service_fn(|_: http::Request<String>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// let bedrock = Provider::preset_with(Preset::Bedrock, None, service)
    ///     .base_url("https://bedrock.eu-central-1.amazonaws.com")
    ///     .sigv4("eu-central-1", "bedrock", || async { AwsCredentials::from_env() });
    /// # let _ = bedrock;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "bedrock")))]
    pub fn sigv4<F, Fut, E>(
        self,
        region: impl Into<String>,
        service: impl Into<String>,
        fetch: F,
    ) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AwsCredentials, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let with_expiry = |credentials: AwsCredentials| {
            let expires_in = credentials.expires_in;
            (credentials, expires_in)
        };
        self.with_authorize(Arc::new(SigV4 {
            region: region.into(),
            service: service.into(),
            credentials: CachedCredential::new(move || fetch().map_ok(with_expiry)),
        }))
    }
}

/// Signs each request just before it is sent.
struct SigV4 {
    region: String,
    service: String,
    credentials: CachedCredential<AwsCredentials>,
}

impl Authorize for SigV4 {
    fn check(&self) -> Result<(), BuildError> {
        for (field, word) in [("region", &self.region), ("service", &self.service)] {
            if word.is_empty() || !word.bytes().all(is_word_byte) {
                let expected = "letters, digits and hyphens, such as eu-central-1 or bedrock";
                return Err(BuildError::new(field, word, expected));
            }
        }
        Ok(())
    }

    fn authorize<'a>(
        &'a self,
        request: &'a mut Request<()>,
    ) -> BoxFuture<'a, Result<(), ListError>> {
        Box::pin(async move {
            let credentials = self.credentials.get().await?;
            let (region, service) = (&self.region, &self.service);
            // The signer logs what it signs, session tokens included.
            let signed = with_default(NoSubscriber::default(), || {
                sign_at(request, region, service, &credentials, clock::wall())
            });
            signed.map_err(|error| {
                // Credentials that cannot be sent would never be rejected.
                self.credentials.invalidate();
                ListError::new(ListErrorKind::Credential).with_cause(error)
            })
        })
    }

    fn is_rejection(&self, status: u16) -> bool {
        matches!(status, 401 | 403) // AWS responds to an expired token with 403
    }

    fn invalidate(&self) -> bool {
        self.credentials.invalidate()
    }
}

/// Signs the method, the URI and the host of a request without a body. Other headers are not
/// signed: layers and proxies may change them.
fn sign_at(
    request: &mut Request<()>,
    region: &str,
    service: &str,
    credentials: &AwsCredentials,
    now: std::time::SystemTime,
) -> Result<(), BoxError> {
    if request.uri().authority().is_none() {
        return Err("a request without a host cannot be signed".into());
    }
    let session_token = credentials.session_token.as_ref();
    let keys = [Some(&credentials.access_key_id), session_token];
    let fits = |key: &Secret| key.header_value("").is_some();
    if !keys.into_iter().flatten().all(fits) {
        return Err("the credentials are not valid header values".into());
    }
    let identity = Credentials::new(
        credentials.access_key_id.expose(),
        credentials.secret_access_key.expose(),
        session_token.map(|token| token.expose().to_owned()),
        None,
        env!("CARGO_PKG_NAME"),
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = request.uri().to_string();
    let none = std::iter::empty();
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri,
        none,
        SignableBody::Bytes(&[]),
    )?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    if let Some(signature) = request.headers_mut().get_mut(header::AUTHORIZATION) {
        signature.set_sensitive(true);
    }
    Ok(())
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// The first case of AWS's own test suite, `get-vanilla`.
    #[test]
    fn signature_matches_the_aws_test_suite() {
        let credentials =
            AwsCredentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let mut request = Request::new(());
        *request.uri_mut() = "https://example.amazonaws.com/".parse().expect("is good");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign_at(&mut request, "us-east-1", "service", &credentials, now).expect("signs");
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            request.headers()["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert!(!format!("{credentials:?} {request:?}").contains("wJalr"));
    }

    #[test]
    fn session_token_is_sent_and_sensitive() {
        let credentials = AwsCredentials::new("a", "b").session_token("hunter2");
        let mut request = Request::new(());
        *request.uri_mut() =
            "https://bedrock.us-east-1.amazonaws.com/inference-profiles?maxResults=1000"
                .parse()
                .expect("is good");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign_at(&mut request, "us-east-1", "bedrock", &credentials, now).expect("signs");
        assert_eq!(request.headers()["x-amz-security-token"], "hunter2");
        assert!(request.headers()["x-amz-security-token"].is_sensitive());
    }

    #[test]
    fn invalid_header_values_are_not_signed() {
        let sign = |credentials: AwsCredentials| {
            let mut request = Request::new(());
            *request.uri_mut() = "https://a.test/".parse().expect("is good");
            let now = SystemTime::UNIX_EPOCH;
            sign_at(&mut request, "eu-central-1", "bedrock", &credentials, now)
        };
        let good = || AwsCredentials::new("a", "b");
        assert!(sign(good()).is_ok());
        assert!(sign(good().session_token("a\nb")).is_err());
        assert!(sign(AwsCredentials::new("a\nb", "b")).is_err());
    }

    #[test]
    fn requests_without_host_are_not_signed() {
        let mut request = Request::new(());
        *request.uri_mut() = "/v1/models".parse().expect("is good");
        let credentials = AwsCredentials::new("a", "b");
        let signed = sign_at(&mut request, "r", "s", &credentials, SystemTime::UNIX_EPOCH);
        assert!(signed.is_err());
    }
}
