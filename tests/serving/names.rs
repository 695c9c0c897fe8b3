//! The names under which models are listed, each of which leads to its model.

use crate::support::dialects;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::dialects::{ids, with_all_dialects};
use crate::support::{ScriptedSource, SharedList, builder, list, send, timed};
use proptest::{collection, prelude::*};
use tower_models_cache::{
    Builder, ClientDialect, Model, Provider, StaticModelsCacheLayer, View, provider::Prefix,
};

use ClientDialect::{Anthropic, Gemini, OpenAi};

fn fixed<const N: usize>(name: &str, ids: [&str; N], prefix: impl Into<Prefix>) -> Provider {
    Provider::fixed(name, ids.map(Model::new)).prefix(prefix)
}

async fn listed(layer: &StaticModelsCacheLayer, dialect: ClientDialect) -> Vec<String> {
    let response = send(layer, dialects::whole_list(dialect)).await;
    assert_eq!(response.status(), 200);
    ids(dialect, response.body())
}

/// The provider and the upstream id that a name leads to.
fn route(layer: &StaticModelsCacheLayer, name: &str) -> Option<(String, String)> {
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get(name)?;
    Some((model.provider().to_owned(), model.upstream_id().to_owned()))
}

fn to(provider: &str, id: &str) -> Option<(String, String)> {
    Some((provider.to_owned(), id.to_owned()))
}

// ===== Prefixes =====

#[tokio::test]
async fn first_provider_keeps_bare_name_on_conflict() {
    let layer = builder([
        fixed("a", ["x", "y"], Prefix::OnConflict),
        fixed("b", ["x", "z"], Prefix::OnConflict),
        fixed("c", ["x"], Prefix::Always),
        fixed("d", ["z", "w"], Prefix::Never),
    ]);
    let layer = layer.build().unwrap();
    assert_eq!(list(&layer).await, ["x", "y", "b/x", "z", "c/x", "w"]);
    for (name, expected) in [
        ("x", to("a", "x")),
        ("b/x", to("b", "x")),
        ("c/x", to("c", "x")),
        ("w", to("d", "w")),
        // Every model of a provider with `Prefix::OnConflict` is found behind its prefix.
        ("a/x", to("a", "x")),
        ("b/z", to("b", "z")),
        ("d/w", None),
        ("c/y", None),
    ] {
        assert_eq!(route(&layer, name), expected, "{name}");
    }
    let status = layer.cache().status();
    let counts = |of: fn(&tower_models_cache::status::ProviderStatus) -> usize| {
        status.providers.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(counts(|provider| provider.prefixed), [0, 1, 0, 0]);
    assert_eq!(counts(|provider| provider.shadowed), [0, 0, 0, 1]);
}

#[tokio::test]
async fn prefix_follows_current_conflicts() {
    let shared = SharedList::new(["x"]);
    let first = Provider::source("a", ScriptedSource::shared(&shared)).prefix(Prefix::OnConflict);
    let second = fixed("b", ["x"], Prefix::OnConflict);
    let layer = builder([first, second]).build().unwrap();
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["x", "b/x"]);
    shared.set_ids(["y"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["y", "x"]);
    assert_eq!(route(&layer, "x"), to("b", "x"));
    assert_eq!(
        route(&layer, "b/x"),
        to("b", "x"),
        "the prefixed name still works"
    );
    shared.set_ids(["x", "y"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["x", "y", "b/x"]);
}

#[tokio::test]
async fn prefixed_name_wins_over_equal_id() {
    let layer = builder([
        fixed("p", ["y"], Prefix::OnConflict),
        fixed("b", ["p/y"], Prefix::OnConflict),
    ]);
    let layer = layer.build().unwrap();
    assert_eq!(list(&layer).await, ["y", "b/p/y"]);
    assert_eq!(route(&layer, "p/y"), to("p", "y"));
    assert_eq!(route(&layer, "b/p/y"), to("b", "p/y"));
}

/// Regression, found by the property below: `a/b` was listed twice.
#[tokio::test]
async fn prefix_does_not_take_name_of_own_model() {
    let layer = builder([fixed("a", ["a/b", "b"], Prefix::OnConflict)]).alias("b", "a/none");
    let layer = layer.build().unwrap();
    assert_eq!(list(&layer).await, ["a/b"]);
    assert_eq!(route(&layer, "a/b"), to("a", "a/b"));
    assert_eq!(layer.cache().status().providers[0].shadowed, 1);
}

#[tokio::test]
async fn first_declared_wins_id_that_looks_prefixed() {
    let layer = builder([
        fixed("a", ["b/x"], Prefix::OnConflict),
        fixed("b", ["x"], Prefix::Always),
    ]);
    let layer = layer.build().unwrap();
    let listed = list(&layer).await;
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
    for name in &listed {
        assert!(route(&layer, name).is_some(), "{name}");
    }
    assert_eq!(listed[0], "b/x");
    assert_eq!(route(&layer, "b/x"), to("a", "b/x"));
}

// ===== Aliases =====

#[tokio::test]
async fn alias_is_listed_first_with_facts_of_model() {
    let model = Model::new("gpt-5")
        .with_display_name("GPT 5")
        .with_context_length(400_000);
    let layer = with_all_dialects(builder([Provider::fixed("openai", [model])]))
        .alias("gpt", "openai/gpt-5")
        .alias("best", "openai/gpt-5")
        .build()
        .unwrap();
    assert_eq!(list(&layer).await, ["gpt", "best", "openai/gpt-5"]);
    for dialect in dialects::ALL {
        let response = send(&layer, dialects::whole_list(dialect)).await;
        let records = dialects::records(dialect, response.body());
        let of = |id: &str| {
            let record = records
                .iter()
                .find(|record| dialects::id_of(dialect, record) == id);
            record.unwrap().replace(id, "ID")
        };
        assert_eq!(of("gpt"), of("openai/gpt-5"), "{dialect:?}");
        assert_eq!(of("best"), of("openai/gpt-5"), "{dialect:?}");
        if dialects::WITH_MODELS.contains(&dialect) {
            let one = send(&layer, dialects::model(dialect, "gpt")).await;
            assert!(records.iter().any(|record| one.body() == record.as_bytes()));
        }
    }
    assert_eq!(route(&layer, "gpt"), to("openai", "gpt-5"));
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get("gpt").unwrap();
    assert_eq!((&*model.name(), &*model.id()), ("gpt", "openai/gpt-5"));
    let listed: Vec<_> = snapshot
        .iter()
        .map(|model| (model.name(), model.id()))
        .collect();
    let expected = ["gpt", "best", "openai/gpt-5"].map(|name| (name.into(), "openai/gpt-5".into()));
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn alias_is_listed_while_its_model_is() {
    let shared = SharedList::new(["gpt-5"]);
    let provider = Provider::source("openai", ScriptedSource::shared(&shared));
    let shadow = fixed("house", ["gpt", "other"], false);
    let layer = builder([provider, shadow]).alias("gpt", "openai/gpt-5");
    let layer = layer.build().unwrap();
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["gpt", "openai/gpt-5", "other"]);
    assert_eq!(route(&layer, "gpt"), to("openai", "gpt-5"));
    let status = layer.cache().status();
    assert!(status.aliases[0].listed);
    assert_eq!(status.aliases[0].target, "openai/gpt-5");
    assert_eq!(status.providers[1].shadowed, 1);

    shared.set_ids(["gpt-6"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["openai/gpt-6", "other"]);
    assert_eq!(
        route(&layer, "gpt"),
        None,
        "not routed to the model of `house`"
    );
    assert!(!layer.cache().status().aliases[0].listed);
    shared.set_ids(["gpt-5", "gpt-6"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(route(&layer, "gpt"), to("openai", "gpt-5"));
}

#[tokio::test]
async fn alias_of_hidden_model_is_hidden() {
    let providers = [fixed("a", ["x"], true), fixed("b", ["y"], true)];
    let view = View::named("b", |model| model.provider() == "b");
    let layer = with_all_dialects(builder(providers))
        .alias("one", "a/x")
        .alias("two", "b/y")
        .views(move |_| Ok(view.clone()))
        .build()
        .unwrap();
    for dialect in dialects::ALL {
        let mut seen = listed(&layer, dialect).await;
        seen.sort();
        assert_eq!(seen, ["b/y", "two"], "{dialect:?}");
    }
    assert_eq!(
        send(&layer, dialects::model(OpenAi, "one")).await.status(),
        404
    );
    assert_eq!(
        send(&layer, dialects::model(OpenAi, "two")).await.status(),
        200
    );
}

#[test]
fn build_error_names_invalid_alias() {
    let long = "x".repeat(513);
    for (pairs, field, value) in [
        (vec![("", "a/x")], "aliases", "\"\""),
        (vec![("a\u{7}", "a/x")], "aliases", r#""a\u{7}""#),
        (vec![(&*long, "a/x")], "aliases", "xxx"),
        (vec![("gpt", "")], "aliases.gpt", "\"\""),
        (vec![("gpt", "a/x"), ("gpt", "a/y")], "aliases", "\"gpt\""),
        (
            vec![("gpt", "a/x"), ("best", "gpt")],
            "aliases.best",
            "\"gpt\"",
        ),
    ] {
        let add = |builder: Builder, (name, target): (&str, &str)| builder.alias(name, target);
        let builder = pairs.iter().copied().fold(builder([]), add);
        let error = builder.build().unwrap_err();
        assert_eq!(error.field(), field, "{pairs:?}");
        assert!(error.to_string().contains(value), "{error}");
    }
}

// ===== Names for clients that require `claude` =====

#[tokio::test]
async fn claude_names_are_listed_for_anthropic_only() {
    let providers = [
        fixed("openai", ["gpt-5", "claude-like"], true),
        fixed("anthropic", ["Claude-Opus"], true),
        fixed("bare", ["claude-openai/gpt-5", "llama"], false),
    ];
    let layer = with_all_dialects(builder(providers))
        .claude_aliases(true)
        .build()
        .unwrap();
    let expected = [
        "anthropic/Claude-Opus",
        "claude-llama",
        "claude-openai/gpt-5",
        "openai/claude-like",
        // Its additional name is the name of another model.
        "openai/gpt-5",
    ];
    assert_eq!(listed(&layer, Anthropic).await, expected);
    let own = [
        "openai/claude-like",
        "openai/gpt-5",
        "anthropic/Claude-Opus",
        "claude-openai/gpt-5",
        "llama",
    ];
    assert_eq!(listed(&layer, OpenAi).await, own);
    for dialect in dialects::ALL
        .into_iter()
        .filter(|dialect| *dialect != Anthropic)
    {
        let mut names = listed(&layer, dialect).await;
        if dialect == Gemini {
            names.sort_by_key(|name| own.iter().position(|own| own == name));
        }
        assert_eq!(names, own, "{dialect:?}");
    }
    for (name, expected) in [
        ("claude-llama", to("bare", "llama")),
        ("llama", to("bare", "llama")),
        ("claude-openai/gpt-5", to("bare", "claude-openai/gpt-5")),
        ("claude-anthropic/Claude-Opus", None),
        ("claude-claude-llama", None),
    ] {
        assert_eq!(route(&layer, name), expected, "{name}");
    }
    // Either name returns the record as listed.
    for name in ["claude-llama", "llama"] {
        let response = send(&layer, dialects::model(Anthropic, name)).await;
        assert_eq!(dialects::json(&response)["id"], "claude-llama");
    }
    let off = with_all_dialects(builder([fixed("bare", ["llama"], false)]))
        .build()
        .unwrap();
    assert_eq!(listed(&off, Anthropic).await, ["llama"]);
    assert_eq!(route(&off, "claude-llama"), None);
}

#[tokio::test(start_paused = true)]
async fn known_model_is_found_without_waiting() {
    let slow = Provider::source("slow", ScriptedSource::hung());
    let here = fixed("here", ["a"], true);
    let layer = with_all_dialects(builder([here, slow]))
        .claude_aliases(true)
        .build()
        .unwrap();
    for (dialect, path) in [
        (OpenAi, "here/a"),
        (OpenAi, "here/a/"),
        (Anthropic, "claude-here/a"),
        (Gemini, "models/here%2Fa"),
        (Gemini, "models/here/a/"),
    ] {
        let asked = send(&layer, dialects::model_at(dialect, path));
        let (response, took) = timed(asked).await;
        assert_eq!(response.status(), 200, "{dialect:?} {path}");
        assert_eq!(took, Duration::ZERO, "{dialect:?} {path}");
    }
}

#[tokio::test]
async fn gemini_name_is_found_with_or_without_prefix() {
    let layer = with_all_dialects(builder([fixed("g", ["gemini-x"], false)]))
        .build()
        .unwrap();
    for path in [
        "gemini-x",
        "models/gemini-x",
        "models%2Fgemini-x",
        "gemini-x/",
    ] {
        let response = send(&layer, dialects::model_at(Gemini, path)).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(dialects::json(&response)["name"], "models/gemini-x");
    }
    for path in [
        "models/models/gemini-x",
        "Gemini-x",
        "gemini-x:generateContent",
    ] {
        assert_eq!(
            send(&layer, dialects::model_at(Gemini, path))
                .await
                .status(),
            404,
            "{path}"
        );
    }
}

// ===== Arbitrary names =====

fn part() -> impl Strategy<Value = String> {
    "(claude-)?[ab]{1,2}(/[ab]{1,2})?"
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        Just(Prefix::Always),
        Just(Prefix::Never),
        Just(Prefix::OnConflict)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn listing_and_routing_agree(
        providers in collection::btree_map(
            "[ab]{1,2}", (prefix(), collection::btree_set(part(), 0..6)), 0..4,
        ),
        aliases in collection::btree_map(part(), part(), 0..3),
        claude in any::<bool>(),
        asked in collection::vec(part(), 20),
    ) {
        let declared: Vec<_> = providers.iter().map(|(name, (prefix, ids))| {
            Provider::fixed(name.as_str(), ids.iter().map(Model::new)).prefix(*prefix)
        }).collect();
        let aliases: BTreeMap<_, _> = aliases.iter()
            .filter(|(_, target)| !aliases.contains_key(*target))
            .collect();
        let builder = aliases.iter().fold(
            with_all_dialects(builder(declared)).claude_aliases(claude),
            |builder, (name, target)| builder.alias(name.as_str(), target.as_str()),
        );
        let layer = builder.build().unwrap();
        let snapshot = layer.cache().snapshot();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut by_name = BTreeMap::new();
        for dialect in dialects::ALL {
            let listed = runtime.block_on(listed(&layer, dialect));
            let unique: BTreeSet<_> = listed.iter().collect();
            prop_assert_eq!(unique.len(), listed.len(), "names are unique: {:?}", listed);
            prop_assert_eq!(listed.len(), snapshot.len());
            for name in listed {
                let model = snapshot.get(&name).expect("every listed name is routed");
                prop_assert_eq!(model.name(), name.as_str());
                let (_, ids) = &providers[model.provider()];
                prop_assert!(ids.contains(model.upstream_id()));
                let to = (model.provider().to_owned(), model.upstream_id().to_owned());
                let before = by_name.insert(name, to.clone());
                prop_assert!(before.is_none_or(|before| before == to), "one model per name");
            }
        }
        // A model is retrieved if and only if it is routed.
        for name in &asked {
            let status = runtime.block_on(send(&layer, dialects::model(OpenAi, name))).status();
            prop_assert_eq!(status == 200, snapshot.get(name).is_some(), "{}", name);
        }
        // Every model has a name, unless another model has that name.
        let models: usize = providers.values().map(|(_, ids)| ids.len()).sum();
        let status = layer.cache().status();
        let shadowed: usize = status.providers.iter().map(|one| one.shadowed).sum();
        let named = status.aliases.iter().filter(|alias| alias.listed).count();
        prop_assert_eq!(models - shadowed + named, snapshot.len());
    }
}
