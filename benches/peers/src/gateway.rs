//! How gateways list their models without caching the response.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::sync::RwLock;
use tower::Service;

use crate::upstream::{List, Model, Upstream};

/// No cache: fetches from every provider concurrently, merges and serialises.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<[Upstream]>);

impl Gateway {
    pub fn new(upstreams: &[Upstream]) -> Self {
        Self(upstreams.into())
    }

    pub async fn list(&self) -> Bytes {
        let lists = self.fetch().await;
        serialise(lists.into_iter())
    }

    async fn fetch(&self) -> Vec<(Arc<str>, Vec<Model>)> {
        let fetch = |upstream: &Upstream| {
            let mut upstream = upstream.clone();
            async move {
                let Ok(response) = upstream.call(Request::new(Full::default())).await;
                let Ok(body) = response.into_body().collect().await;
                let list: List = serde_json::from_slice(&body.to_bytes()).unwrap();
                (upstream.name, list.data)
            }
        };
        join_all(self.0.iter().map(fetch)).await
    }
}

fn serialise(lists: impl Iterator<Item = (Arc<str>, Vec<Model>)>) -> Bytes {
    let mut all = Vec::new();
    for (name, models) in lists {
        all.extend(models.into_iter().map(|mut model| {
            model.id = format!("{name}/{}", model.id);
            model
        }));
    }
    serde_json::to_vec(&List::new(all)).unwrap().into()
}

type Held = Vec<(Arc<str>, Vec<Model>)>;

/// The approach of the original gateway: the lists are cached, and each request locks,
/// clones, prefixes and serialises them. Until they are cached, each request fetches.
#[derive(Clone, Debug)]
pub struct Origin {
    gateway: Gateway,
    held: Arc<RwLock<Held>>,
}

impl Origin {
    pub fn new(upstreams: &[Upstream]) -> Self {
        Self {
            gateway: Gateway::new(upstreams),
            held: Arc::default(),
        }
    }

    pub async fn list(&self) -> Bytes {
        let mut lists = self.held.read().await.clone();
        if lists.is_empty() {
            lists = self.gateway.fetch().await;
            *self.held.write().await = lists.clone();
        }
        serialise(lists.into_iter())
    }
}
