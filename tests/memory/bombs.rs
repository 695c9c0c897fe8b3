//! The cost of a response that decodes to far more than the limit does not depend on its decoded
//! size.
//!
//! The allocator counts for the whole process.

use std::{convert::Infallible, io::Write};

use crate::support::net::{Server, within};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Response, header};
use http_body_util::Full;
use stats_alloc::Region;
use tower::service_fn;
use tower_models_cache::{
    Provider, StaticModelsCacheLayer, error::ListErrorKind, provider::Dialect,
};

use crate::{GLOBAL, TURN};

const BOUND: usize = 256 * 1024;
const DECODED: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn gzip_bomb_is_not_decoded_beyond_limit() {
    let _turn = TURN.lock().await;
    within(async {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for _ in 0..DECODED / BOUND {
            encoder.write_all(&[b' '; BOUND]).unwrap();
        }
        let bomb = Bytes::from(encoder.finish().unwrap());
        assert!(bomb.len() < DECODED / 100, "{} bytes", bomb.len());
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let first = Bytes::from_static(br#"{"data":[],"has_more":true,"last_id":"m1"}"#);
            let (body, coding) = if request.uri().query() == Some("limit=1000") {
                (first, "identity")
            } else {
                (bomb.clone(), "gzip")
            };
            let response = Response::builder().header(header::CONTENT_ENCODING, coding);
            let response = response.body(Full::new(body)).unwrap();
            async { Ok::<_, Infallible>(response) }
        });
        let server = Server::hyper(service).await;
        let provider = Provider::client("lab", server.url()).dialect(Dialect::Anthropic);
        let builder = StaticModelsCacheLayer::builder().max_bytes(BOUND);
        let cache = builder.provider(provider).build().unwrap().cache();

        let region = Region::new(GLOBAL);
        let error = cache.refresh_provider("lab").await.unwrap_err();
        let seen = region.change();
        assert_eq!(error.kind(), ListErrorKind::TooLarge);
        // Counts every allocation, freed or not: sockets and connections of client and server,
        // and the body, which grows by doubling.
        assert!(seen.bytes_allocated < 8 * BOUND, "{seen:?}");
    })
    .await;
}
