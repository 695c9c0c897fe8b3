//! Pages together are the whole list, for every page size, also while the list changes between
//! pages.

use crate::support::dialects;
use std::collections::{BTreeMap, BTreeSet};

use crate::support::dialects::{PAGED, error, ids, json, records, with_all_dialects};
use crate::support::{builder, send};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use proptest::{collection, prelude::*, sample::Index};
use tower_models_cache::{
    ClientDialect, Model, ModelsCache, Provider, StaticModelsCacheLayer, View, provider::Prefix,
};

use ClientDialect::{Anthropic, Gemini};

fn of_ids<S: AsRef<str>>(ids: impl IntoIterator<Item = S>) -> StaticModelsCacheLayer {
    let models = ids.into_iter().map(|id| Model::new(id.as_ref()));
    let house = Provider::fixed("house", models).prefix(false);
    with_all_dialects(builder([house])).build().unwrap()
}

/// The ids `m-0000` and so on.
fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("m-{n:04}")).collect()
}

async fn page(
    layer: &StaticModelsCacheLayer,
    dialect: ClientDialect,
    query: &str,
) -> Response<Bytes> {
    let response = send(layer, dialects::list(dialect, query)).await;
    assert_eq!(response.status(), 200, "{dialect:?} {query}");
    let length = response.body().len().to_string();
    assert_eq!(response.headers()["content-length"], length.as_str());
    response
}

/// The records of all pages, in order.
async fn turn(layer: &StaticModelsCacheLayer, dialect: ClientDialect, size: usize) -> Vec<String> {
    let limit = dialects::limit(dialect, size);
    let (mut all, mut query) = (Vec::new(), limit.clone());
    loop {
        let page = page(layer, dialect, &query).await;
        let got = records(dialect, page.body());
        assert!(got.len() <= size);
        all.extend(got);
        match dialects::next(dialect, &page) {
            Some(next) => query = format!("{limit}&{next}"),
            None => return all,
        }
    }
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

// ===== Anthropic =====

#[tokio::test]
async fn anthropic_limit_is_1_to_1000_default_20() {
    let all = numbered(1100);
    let layer = of_ids(&all);
    for (query, size) in [
        ("", 20),
        ("limit=1", 1),
        ("limit=999", 999),
        ("limit=1000", 1000),
        ("limit=1001", 1000),
        ("limit=99999999999999999999", 20), // overflows
        ("limit=0", 20),
        ("limit=-1", 20),
        ("limit=ten", 20),
        ("limit=", 20),
        ("limit=5&limit=7", 7),
        ("beta=true&limit=%33", 3),
    ] {
        let response = page(&layer, Anthropic, query).await;
        assert_eq!(ids(Anthropic, response.body()), all[..size], "{query}");
        let page = json(&response);
        assert_eq!(page["has_more"], true);
        assert_eq!(page["first_id"], all[0].as_str());
        assert_eq!(page["last_id"], all[size - 1].as_str());
    }
    // A thousand records in one page.
    let layer = of_ids(&all[..1000]);
    let response = page(&layer, Anthropic, "limit=1000").await;
    assert_eq!(ids(Anthropic, response.body()), all[..1000]);
    assert_eq!(json(&response)["has_more"], false);
}

#[tokio::test]
async fn anthropic_cursors_go_both_ways() {
    let all = numbered(10);
    let layer = of_ids(&all);
    for (query, expected, has_more) in [
        ("after_id=m-0003&limit=3", 4..7, true),
        ("after_id=m-0006&limit=3", 7..10, false),
        ("after_id=m-0009&limit=3", 10..10, false),
        ("before_id=m-0003&limit=2", 1..3, true),
        ("before_id=m-0002&limit=2", 0..2, false),
        ("before_id=m-0000&limit=2", 0..0, false),
        // Cursors that are unknown ids, wherever they would sort.
        ("after_id=m-0003x&limit=1", 4..5, true),
        ("before_id=m-0003x&limit=1", 3..4, true),
        ("after_id=a&limit=2", 0..2, true),
        ("after_id=z&limit=2", 10..10, false),
        ("before_id=z&limit=2", 8..10, true),
        // An empty cursor is ignored; with both cursors, `after_id` applies.
        ("after_id=&limit=2", 0..2, true),
        ("after_id=m-0003&before_id=m-0009&limit=2", 4..6, true),
    ] {
        let response = page(&layer, Anthropic, query).await;
        let expected = &all[expected];
        assert_eq!(ids(Anthropic, response.body()), expected, "{query}");
        let page = json(&response);
        assert_eq!(page["has_more"], has_more, "{query}");
        assert_eq!(
            page["first_id"].as_str(),
            expected.first().map(String::as_str)
        );
        assert_eq!(
            page["last_id"].as_str(),
            expected.last().map(String::as_str)
        );
        assert_eq!(page.as_object().unwrap().len(), 4);
    }
}

// ===== Gemini =====

#[tokio::test]
async fn gemini_page_size_is_1_to_1000_default_50() {
    let all = numbered(1100);
    let layer = of_ids(&all);
    for (query, size) in [
        ("", 50),
        ("pageSize=1", 1),
        ("page_size=2", 2),
        ("pageSize=1000", 1000),
        ("pageSize=5000", 1000),
        ("pageSize=0", 50),
        ("pageSize=x&key=AIza", 50),
    ] {
        let response = page(&layer, Gemini, query).await;
        assert_eq!(ids(Gemini, response.body()), all[..size], "{query}");
        assert!(json(&response)["nextPageToken"].is_string());
    }
    let token = dialects::next(Gemini, &page(&layer, Gemini, "pageSize=1000").await).unwrap();
    let last = page(&layer, Gemini, &format!("pageSize=1000&{token}")).await;
    assert_eq!(ids(Gemini, last.body()), all[1000..]);
    assert_eq!(
        json(&last).as_object().unwrap().len(),
        1,
        "the last page has no token"
    );
}

#[tokio::test]
async fn altered_page_token_is_refused() {
    let layer = of_ids(numbered(30));
    let first = json(&page(&layer, Gemini, "pageSize=7").await);
    let token = first["nextPageToken"].as_str().unwrap();
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    );
    let mut bad = vec![
        format!("{token}A"),
        format!("{token}="),
        format!("A{token}"),
        token[1..].to_owned(),
        token[..token.len() - 1].to_owned(),
        token.repeat(2),
        "m-0006".to_owned(),
        "7".to_owned(),
        "AAAA".to_owned(),
        "🦙".to_owned(),
        "a".repeat(10_000),
    ];
    for at in 0..token.len() {
        for other in ["A", "b", "7", "_", "/", "+"] {
            let changed = [&token[..at], other, &token[at + 1..]].concat();
            bad.extend((changed != token).then_some(changed));
        }
    }
    for token in bad {
        let query = format!("pageToken={}", dialects::escaped(&token));
        let response = send(&layer, dialects::list(Gemini, &query)).await;
        assert_eq!(response.status(), 400, "{token}");
        let (_, status) = error(Gemini, &response);
        assert_eq!(status, "INVALID_ARGUMENT");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    // An empty token is ignored: clients send it for the first page.
    assert_eq!(page(&layer, Gemini, "pageToken=").await.status(), 200);
}

#[tokio::test]
async fn page_token_resumes_after_list_change() {
    let before = of_ids(numbered(10));
    let first = page(&before, Gemini, "pageSize=4").await;
    let next = dialects::next(Gemini, &first).unwrap();
    // A newer list, as on another replica: m-0003 is removed, and models around it are added.
    let after = of_ids(["m-0000", "m-0001x", "m-0002", "m-0003x", "m-0005", "m-0010"]);
    let second = page(&after, Gemini, &next).await;
    assert_eq!(ids(Gemini, second.body()), ["m-0003x", "m-0005", "m-0010"]);
}

#[tokio::test]
async fn page_token_reveals_nothing_of_its_view() {
    let few = View::named("few", |model| model.id().ends_with('1'));
    let view = move |request: &http::request::Parts| {
        let few = few.clone();
        Ok(if request.headers.contains_key("x-few") {
            few
        } else {
            View::all()
        })
    };
    let models = numbered(30).into_iter().map(Model::new);
    let house = Provider::fixed("house", models).prefix(false);
    let layer = with_all_dialects(builder([house]))
        .views(view)
        .build()
        .unwrap();
    let first = page(&layer, Gemini, "pageSize=5").await;
    let next = dialects::next(Gemini, &first).unwrap();
    let mut request: Request<Empty<Bytes>> = dialects::list(Gemini, &next);
    request
        .headers_mut()
        .insert("x-few", http::HeaderValue::from_static("1"));
    let response = send(&layer, request).await;
    assert_eq!(ids(Gemini, response.body()), ["m-0011", "m-0021"]);
}

// ===== Both dialects =====

#[tokio::test]
async fn page_etag_lasts_as_long_as_its_list() {
    let layer = of_ids(numbered(30));
    for dialect in PAGED {
        let limit = dialects::limit(dialect, 10);
        let mut tags = BTreeSet::new();
        let mut query = limit.clone();
        loop {
            let got = page(&layer, dialect, &query).await;
            let tag = got.headers()["etag"].clone();
            let mut request = dialects::list(dialect, &query);
            request.headers_mut().insert("if-none-match", tag.clone());
            let again = send(&layer, request).await;
            assert_eq!(again.status(), 304);
            assert_eq!(again.headers()["etag"], tag);
            assert!(!again.headers().contains_key("content-length"));
            assert!(tags.insert(tag.to_str().unwrap().to_owned()), "{query}");
            match dialects::next(dialect, &got) {
                Some(next) => query = format!("{limit}&{next}"),
                None => break,
            }
        }
        let whole = page(&layer, dialect, &dialects::limit(dialect, 1000)).await;
        tags.insert(whole.headers()["etag"].to_str().unwrap().to_owned());
        assert_eq!(tags.len(), 4, "{dialect:?}");
        // The tag is the same in another process.
        let other = of_ids(numbered(30));
        let first = page(&other, dialect, &limit).await;
        assert!(tags.contains(first.headers()["etag"].to_str().unwrap()));
    }
}

#[tokio::test]
async fn different_pages_have_different_etags() {
    let layer = of_ids(numbered(30));
    let mut tags = BTreeMap::new();
    for query in [
        "limit=10",
        "limit=11",
        "limit=1000",
        "after_id=m-0009&limit=10",
        "after_id=m-0008&limit=10",
        "after_id=m-0019&limit=11",
        // The same records, but only one of the two pages has a next page.
        "before_id=m-0010&limit=10",
        "before_id=m-0029x&limit=10",
        "after_id=z",
        "before_id=a",
    ] {
        let response = page(&layer, Anthropic, query).await;
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        let other = tags.insert(tag, response.body().clone());
        assert!(
            other.is_none_or(|other| other == response.body()),
            "{query}"
        );
    }
    assert!(tags.len() >= 9);
}

#[tokio::test]
async fn head_of_page_omits_the_body() {
    let layer = of_ids(numbered(30));
    for dialect in PAGED {
        let got = page(&layer, dialect, "").await;
        let mut request = dialects::list(dialect, "");
        *request.method_mut() = http::Method::HEAD;
        let head = send(&layer, request).await;
        assert_eq!(
            (head.status(), head.headers()),
            (got.status(), got.headers())
        );
        assert!(head.body().is_empty());
    }
}

#[tokio::test]
async fn page_shares_bytes_of_the_list() {
    let layer = of_ids(numbered(500));
    for dialect in PAGED {
        let whole = page(&layer, dialect, &dialects::limit(dialect, 1000)).await;
        let whole = whole.body().as_ptr_range();
        let service = layer.service();
        let request = dialects::list(dialect, "");
        let response = tower::ServiceExt::oneshot(service, request).await.unwrap();
        let (head, mut body) = response.into_parts();
        let length = http_body::Body::size_hint(&body)
            .exact()
            .unwrap()
            .to_string();
        assert_eq!(head.headers["content-length"], length.as_str());
        assert!(!http_body::Body::is_end_stream(&body));
        let mut shared = 0;
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            let Ok(data) = frame.unwrap().into_data() else {
                continue;
            };
            let inside = whole.contains(&data.as_ptr());
            shared += if inside { data.len() } else { 0 };
            assert!(inside || data.len() < 200);
        }
        assert!(shared > 1000, "{dialect:?}");
        assert!(http_body::Body::is_end_stream(&body));
    }
}

// ===== Arbitrary ids and page sizes =====

/// Ids with many common prefixes.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,3}(/[a-c]{1,2}){0,2}",
        "[ -~]{1,6}",
        "[a-zäß🦙/%+&=]{1,5}",
    ]
}

fn some_ids() -> impl Strategy<Value = BTreeSet<String>> {
    collection::btree_set(id(), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_concatenate_to_the_list(ids in some_ids(), size in 1..50_usize) {
        run(async {
            let layer = of_ids(&ids);
            for dialect in PAGED {
                let whole = page(&layer, dialect, &dialects::limit(dialect, 1000)).await;
                let whole = records(dialect, whole.body());
                assert_eq!(turn(&layer, dialect, size).await, whole);
                let listed: BTreeSet<_> = whole.iter().map(|one| dialects::id_of(dialect, one)).collect();
                assert_eq!(listed, ids);
            }
            // Backward as well.
            let limit = dialects::limit(Anthropic, size);
            let (mut all, mut query) = (Vec::new(), format!("{limit}&before_id=%F4%8F%BF%BF"));
            loop {
                let page = page(&layer, Anthropic, &query).await;
                let mut got = records(Anthropic, page.body());
                got.append(&mut all);
                all = got;
                let page = json(&page);
                if page["has_more"] == false { break }
                let first = page["first_id"].as_str().unwrap();
                query = format!("{limit}&before_id={}", dialects::escaped(first));
            }
            let whole = page(&layer, Anthropic, "limit=1000").await;
            assert_eq!(all, records(Anthropic, whole.body()));
        });
    }

    #[test]
    fn every_listed_id_is_retrieved_and_routed(
        one in some_ids(),
        other in some_ids(),
        claude in any::<bool>(),
        alias in proptest::option::of((id(), any::<Index>())),
    ) {
        run(async {
            let models = |ids: &BTreeSet<String>| {
                ids.iter().map(Model::new).collect::<Vec<_>>()
            };
            let providers = [
                Provider::fixed("one", models(&one)).prefix(Prefix::OnConflict),
                Provider::fixed("a", models(&other)),
                Provider::fixed("bare", models(&other)).prefix(false),
            ];
            let mut builder = with_all_dialects(builder(providers)).claude_aliases(claude);
            // An alias must not be a glob.
            let alias = alias.filter(|(name, _)| !name.contains(['*', '?', '{', '}']));
            if let Some((name, target)) = alias.filter(|_| !other.is_empty()) {
                let target = target.get(&other.iter().collect::<Vec<_>>()).to_string();
                builder = builder.alias(name, format!("a/{target}"));
            }
            let layer = builder.build().unwrap();
            let snapshot = layer.cache().snapshot();
            for dialect in dialects::ALL {
                let whole = send(&layer, dialects::whole_list(dialect)).await;
                let mut seen = BTreeSet::new();
                for record in records(dialect, whole.body()) {
                    let id = dialects::id_of(dialect, &record);
                    assert!(seen.insert(id.clone()), "{id} is listed once");
                    let routed = snapshot.get(&id).expect("every listed id is routed");
                    assert_eq!(routed.name(), id);
                    if dialects::WITH_MODELS.contains(&dialect) {
                        let got = send(&layer, dialects::model(dialect, &id)).await;
                        assert_eq!(got.body(), record.as_bytes(), "{dialect:?} {id}");
                    }
                }
                assert_eq!(seen.len(), snapshot.len(), "{dialect:?}");
            }
        });
    }

    #[test]
    fn paging_is_consistent_while_list_changes(
        lists in collection::vec(some_ids(), 1..8),
        size in 1..9_usize,
    ) {
        run(async {
            for dialect in PAGED {
                let layer = of_ids(&lists[0]);
                let mut lists = lists[1..].iter();
                let (mut shown, mut throughout) = (Vec::new(), lists_of(&layer.cache()));
                let limit = dialects::limit(dialect, size);
                let mut query = limit.clone();
                loop {
                    let page = page(&layer, dialect, &query).await;
                    shown.extend(ids(dialect, page.body()));
                    let Some(next) = dialects::next(dialect, &page) else { break };
                    query = format!("{limit}&{next}");
                    if let Some(ids) = lists.next() {
                        let models = ids.iter().map(Model::new);
                        let house = Provider::fixed("house", models).prefix(false);
                        layer.cache().set_providers([house]).await.unwrap();
                        throughout.retain(|id, _| ids.contains(id));
                    }
                }
                let once: BTreeSet<_> = shown.iter().cloned().collect();
                assert_eq!(once.len(), shown.len(), "no model is listed twice");
                assert!(shown.is_sorted());
                for id in throughout.keys() {
                    assert!(once.contains(id), "{id} was listed in every round");
                }
            }
        });
    }
}

fn lists_of(cache: &ModelsCache) -> BTreeMap<String, ()> {
    let snapshot = cache.snapshot();
    snapshot
        .iter()
        .map(|model| (model.id().into_owned(), ()))
        .collect()
}
