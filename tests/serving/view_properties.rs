//! A view judges the model, not the name: whichever name leads to a model, lists, retrieval,
//! `POST /api/show` and routing agree (invariant 13).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::support::dialects::{self, WITH_MODELS, with_all_dialects};
use crate::support::{Unreachable, builder, collect, get, list, send};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{Empty, Full};
use proptest::{collection, prelude::*, sample::Index};
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_models_cache::{
    ClientDialect, Model, Provider, StaticModelsCacheLayer, View, provider::Prefix,
};

// ===== Views =====

/// A glob with an obvious meaning.
#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    Behind(String),
    Holding(String),
}

impl Pattern {
    fn glob(&self) -> String {
        match self {
            Self::Exact(text) => text.clone(),
            Self::Behind(text) => format!("{text}/*"),
            Self::Holding(text) => format!("*{text}*"),
        }
    }

    fn matches(&self, id: &str) -> bool {
        match self {
            Self::Exact(text) => id == text,
            Self::Behind(text) => id.starts_with(&format!("{text}/")),
            Self::Holding(text) => id.contains(text.as_str()),
        }
    }
}

#[derive(Clone, Debug)]
enum Rule {
    All,
    None,
    Include(Pattern),
    Exclude(Pattern),
    Id(String),
    /// A predicate that reads the name, which must not reveal more than the id.
    Name(String),
    Provider(String),
    Large,
}

/// A model, and the id under which it is listed.
struct Known<'a> {
    own: &'a str,
    provider: &'a str,
    upstream: &'a str,
    is_large: bool,
}

impl Rule {
    fn view(&self, number: usize) -> View {
        let name = number.to_string();
        match self.clone() {
            Self::All => View::all(),
            Self::None => View::none(),
            Self::Include(pattern) => View::globs(vec![pattern.glob()], []).unwrap(),
            Self::Exclude(pattern) => View::globs([], vec![pattern.glob()]).unwrap(),
            Self::Id(text) => View::named(name, move |model| model.id().contains(&text)),
            Self::Name(text) => View::named(name, move |model| model.name().contains(&text)),
            Self::Provider(provider) => {
                View::named(name, move |model| model.provider() == provider)
            }
            Self::Large => View::named(name, |model| model.model().context_length().is_some()),
        }
    }

    /// Whether the rule alone shows the model.
    fn sees(&self, model: &Known<'_>) -> bool {
        let prefixed = format!("{}/{}", model.provider, model.upstream);
        match self {
            Self::All => true,
            Self::None => false,
            Self::Include(pattern) => pattern.matches(model.own),
            Self::Exclude(pattern) => !pattern.matches(model.own) && !pattern.matches(&prefixed),
            Self::Id(text) | Self::Name(text) => model.own.contains(text),
            Self::Provider(provider) => model.provider == provider,
            Self::Large => model.is_large,
        }
    }
}

fn part() -> impl Strategy<Value = String> {
    "(claude-)?[ab]{1,2}(/[ab]{1,2})?"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{1,2}", "/[ab]", "[ab]/", Just("claude-".to_owned())]
}

fn rule() -> impl Strategy<Value = Rule> {
    let pattern = || {
        prop_oneof![
            part().prop_map(Pattern::Exact),
            "[ab]{1,2}".prop_map(Pattern::Behind),
            text().prop_map(Pattern::Holding),
        ]
    };
    prop_oneof![
        1 => Just(Rule::All),
        1 => Just(Rule::None),
        3 => pattern().prop_map(Rule::Include),
        3 => pattern().prop_map(Rule::Exclude),
        2 => text().prop_map(Rule::Id),
        2 => text().prop_map(Rule::Name),
        2 => "[ab]{1,2}".prop_map(Rule::Provider),
        2 => Just(Rule::Large),
    ]
}

// ===== Requests =====

fn by(view: usize, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    let view = HeaderValue::from_str(&view.to_string()).unwrap();
    request.headers_mut().insert("x-view", view);
    request
}

/// All records of a list by their listed name, read in pages of this size.
async fn records(
    layer: &StaticModelsCacheLayer,
    view: usize,
    dialect: ClientDialect,
    size: usize,
) -> BTreeMap<String, String> {
    let limit = dialects::limit(dialect, size);
    let (mut all, mut query) = (BTreeMap::new(), limit.clone());
    loop {
        let page = send(layer, by(view, dialects::list(dialect, &query))).await;
        assert_eq!(page.status(), 200);
        for record in dialects::records(dialect, page.body()) {
            let twice = all.insert(dialects::id_of(dialect, &record), record);
            assert!(twice.is_none(), "{twice:?} is listed twice");
        }
        let Some(next) = dialects::next(dialect, &page) else {
            return all;
        };
        query = format!("{limit}&{next}");
    }
}

async fn shows(layer: &StaticModelsCacheLayer, view: usize, name: &str) -> bool {
    let body = Full::<Bytes>::from(json!({ "model": name }).to_string());
    let request = Request::post("/api/show").header("x-view", view.to_string());
    let service = layer.ollama_show().layer(Unreachable);
    let Ok(response) = service.oneshot(request.body(body).unwrap()).await;
    is_there(&collect(response).await)
}

fn is_there(response: &Response<Bytes>) -> bool {
    match response.status().as_u16() {
        200 => true,
        404 => false,
        other => panic!("{other}: {response:?}"),
    }
}

// ===== Property =====

type Providers = BTreeMap<String, (Prefix, BTreeMap<String, bool>)>;

fn layer(
    providers: &Providers,
    aliases: &BTreeMap<String, String>,
    claude: bool,
    views: Vec<View>,
) -> StaticModelsCacheLayer {
    let declared = providers.iter().map(|(name, (prefix, models))| {
        let models = models.iter().map(|(id, is_large)| {
            let length = is_large.then_some(1_000_000);
            Model::new(id).with_context_length(length)
        });
        Provider::fixed(name.as_str(), models).prefix(*prefix)
    });
    let builder = aliases.iter().fold(
        with_all_dialects(builder(declared)).claude_aliases(claude),
        |builder, (name, target)| builder.alias(name, target),
    );
    let views = Arc::new(views);
    let hook = move |request: &http::request::Parts| {
        let number = request.headers.get("x-view").ok_or("no caller")?.to_str()?;
        Ok(views[number.parse::<usize>()?].clone())
    };
    builder.views(hook).build().unwrap()
}

async fn check(
    providers: &Providers,
    aliases: &BTreeMap<String, String>,
    claude: bool,
    rules: &[Rule],
    more: &[String],
) {
    let rules: Vec<_> = [Rule::All].iter().chain(rules).cloned().collect();
    let views: Vec<_> = (0..).zip(&rules).map(|(n, rule)| rule.view(n)).collect();
    let layer = layer(providers, aliases, claude, views.clone());
    let snapshot = layer.cache().snapshot();

    // Every listed name, every other name that may lead to a model, and some unknown names.
    let mut names: BTreeSet<String> = more.iter().cloned().collect();
    let mut listed_for_all = BTreeMap::new();
    for dialect in dialects::ALL {
        let listed: BTreeSet<_> = records(&layer, 0, dialect, 1000)
            .await
            .into_keys()
            .collect();
        names.extend(listed.iter().cloned());
        listed_for_all.insert(dialect.name(), listed);
    }
    for (provider, (_, models)) in providers {
        names.extend(models.keys().map(|id| format!("{provider}/{id}")));
    }
    names.extend(
        aliases
            .iter()
            .flat_map(|(name, target)| [name, target])
            .cloned(),
    );
    let led: Vec<_> = names.iter().map(|name| format!("claude-{name}")).collect();
    names.extend(led);

    // The models, and the one id under which each is listed.
    let mut own = BTreeMap::new();
    for name in &listed_for_all["openai"] {
        if !aliases.contains_key(name) {
            let model = snapshot.get(name).unwrap();
            let key = (model.provider().to_owned(), model.upstream_id().to_owned());
            assert!(own.insert(key, name.clone()).is_none(), "{name}");
        }
    }

    for (number, (view, rule)) in views.iter().zip(&rules).enumerate() {
        let mut lists = BTreeMap::new();
        for dialect in dialects::ALL {
            let list = records(&layer, number, dialect, 1000).await;
            if dialects::PAGED.contains(&dialect) {
                let in_pages = records(&layer, number, dialect, 2).await;
                assert_eq!(in_pages, list, "{rule:?} {dialect:?}");
            }
            let all = &listed_for_all[dialect.name()];
            assert!(
                list.keys().all(|name| all.contains(name)),
                "{rule:?} {dialect:?}"
            );
            lists.insert(dialect.name(), list);
        }
        for name in &names {
            let model = snapshot.get(name);
            let is_seen = model.is_some_and(|model| view.allows(&model));
            let case = format!("{rule:?}: {name} leads to {model:?}");
            if let Some(model) = model {
                let key = (model.provider().to_owned(), model.upstream_id().to_owned());
                let known = Known {
                    own: &own[&key],
                    provider: &key.0,
                    upstream: &key.1,
                    is_large: providers[&key.0].1[&key.1],
                };
                assert_eq!(model.id(), known.own, "{case}");
                assert_eq!(model.name(), name.as_str(), "{case}");
                assert_eq!(is_seen, rule.sees(&known), "{case}");
                for (dialect, list) in &lists {
                    let leads_there = |other: &String| {
                        let other = snapshot.get(other).unwrap();
                        (other.provider(), other.upstream_id()) == (&key.0, &key.1)
                    };
                    let is_listed = list.keys().any(leads_there);
                    assert_eq!(is_listed, is_seen, "{case}, in {dialect}");
                }
            }
            for (dialect, list) in &lists {
                let listed = listed_for_all[dialect].contains(name) && is_seen;
                assert_eq!(list.contains_key(name), listed, "{case}, in {dialect}");
            }
            for dialect in WITH_MODELS {
                let response = send(&layer, by(number, dialects::model(dialect, name))).await;
                assert_eq!(is_there(&response), is_seen, "{case}, by {dialect:?}");
                if let Some(record) = lists[dialect.name()].get(name) {
                    assert_eq!(response.body(), record.as_bytes(), "{case}, by {dialect:?}");
                }
                let mut head = by(number, dialects::model(dialect, name));
                *head.method_mut() = Method::HEAD;
                let head = send(&layer, head).await;
                assert_eq!(head.status(), response.status(), "{case}, by {dialect:?}");
                assert_eq!(head.headers(), response.headers(), "{case}, by {dialect:?}");
            }
            assert_eq!(
                shows(&layer, number, name).await,
                is_seen,
                "{case}, by show"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn view_treats_all_names_of_model_alike(
        providers in collection::btree_map(
            "[ab]{1,2}",
            (
                prop_oneof![Just(Prefix::Always), Just(Prefix::Never), Just(Prefix::OnConflict)],
                collection::btree_map(part(), any::<bool>(), 0..5),
            ),
            1..4,
        ),
        aliases in collection::btree_map(part(), any::<Index>(), 0..4),
        claude in any::<bool>(),
        rules in collection::vec(rule(), 1..4),
        more in collection::vec(part(), 8),
    ) {
        let ids: Vec<String> = providers.iter().flat_map(|(provider, (_, models))| {
            models.keys().flat_map(move |id| [format!("{provider}/{id}"), id.clone()])
        }).collect();
        let targets: BTreeMap<_, _> = aliases.iter()
            .filter(|_| !ids.is_empty())
            .map(|(name, target)| (name.clone(), target.get(&ids).clone()))
            .collect();
        let aliases: BTreeMap<_, _> = targets.iter()
            .filter(|(_, target)| !targets.contains_key(*target))
            .map(|(name, target)| (name.clone(), target.clone()))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(check(&providers, &aliases, claude, &rules, &more));
    }
}

/// A glob on an alias matches nothing, because globs are matched against the model's own id.
#[tokio::test]
async fn view_that_shows_nothing_is_in_the_status() {
    let of_alias = View::globs(["best"], []).unwrap();
    let view = of_alias.clone();
    let layer = builder([Provider::fixed("house", [Model::new("small")])])
        .alias("best", "house/small")
        .views(move |head| match head.headers.contains_key("x-none") {
            true => Ok(View::none()),
            false => Ok(view.clone()),
        })
        .build()
        .unwrap();
    let mut request = get("/v1/models");
    request.headers_mut().insert("x-none", "1".parse().unwrap());
    send(&layer, request).await;
    assert!(layer.cache().status().empty_views.is_empty());
    assert!(list(&layer).await.is_empty());
    let empty = layer.cache().status().empty_views;
    assert_eq!(empty.len(), 1);
    assert!(empty[0].contains("best"), "{empty:?}");
}
