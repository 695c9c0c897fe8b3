//! The configuration file. Errors name the line and the field but never the value, because
//! it may be a key in the wrong place.

mod place;

use std::{
    collections::HashMap,
    error::Error,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tower_models_cache::{
    BuildError, Builder, Secret, StaticModelsCacheConfig, View, config::ProviderConfig,
};

use self::place::Fields;
use crate::{
    access::Access,
    gateway::{LISTEN, Setup},
    proxy::Route,
};

/// The whole file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    static_models_cache: StaticModelsCacheConfig,
    providers: Vec<ProviderConfig>,
    keys: Vec<Key>,
}

/// A client's key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The name of the environment variable that holds it.
    key_env: String,
    /// The view of its bearer. Default: all models.
    view: Option<String>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            static_models_cache: StaticModelsCacheConfig::default(),
            providers: Vec::new(),
            keys: Vec::new(),
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Setup, BadFile> {
    let bad = |line, what| BadFile {
        path: path.to_owned(),
        line,
        what,
    };
    let text = fs::read_to_string(path).map_err(|error| bad(None, error.to_string()))?;
    let fields = Fields::of(&text);

    let file: File = toml::from_str(&text).map_err(|error| {
        let (line, field) = fields.at(error.span().map_or(0, |span| span.start));
        bad(
            Some(line),
            format!("{field}: {}", without_value(error.message())),
        )
    })?;
    file.setup().map_err(|Unfit { field, what }| {
        let line = fields.line_of(&field);
        bad(Some(line), format!("{field}{what}"))
    })
}

impl File {
    fn setup(self) -> Result<Setup, Unfit> {
        let mut settings = self.static_models_cache;
        if !settings.providers.is_empty() {
            return Err(Unfit {
                field: "static_models_cache.providers".to_owned(),
                what: " is set, expected [[providers]] instead".to_owned(),
            });
        }
        let unfit = |error| Unfit::new("static_models_cache", "", &error);
        let mut models = check(&settings).map_err(unfit)?;
        let mut providers = Vec::new();
        let mut routes = HashMap::new();
        for (index, provider) in self.providers.into_iter().enumerate() {
            let place = format!("providers[{index}]");
            let unfit = |error| Unfit::new(&place, &provider.name, &error);
            settings.providers.push(provider.clone());
            // Checked after each provider, so that an error, such as a name that is taken,
            // belongs to the last one.
            models = check(&settings).map_err(unfit)?;
            providers.push(provider.provider().map_err(unfit)?);
            // Chats need an address.
            if let Some(base_url) = provider.effective_base_url() {
                let headers = provider.header_map().map_err(unfit)?;
                let route = Route::new(base_url, headers).expect("was checked to be a URL");
                routes.insert(provider.name.clone(), route);
            }
        }
        Ok(Setup {
            listen: self.listen,
            models,
            providers,
            routes,
            access: access(self.keys, &settings)?,
        })
    }
}

/// Without keys everyone may use the gateway, otherwise only callers with a key.
fn access(keys: Vec<Key>, settings: &StaticModelsCacheConfig) -> Result<Access, Unfit> {
    let views = settings.named_views();
    let views = views.map_err(|error| Unfit::new("static_models_cache", "", &error))?;
    let mut known = HashMap::new();
    for (index, Key { key_env, view }) in keys.into_iter().enumerate() {
        let unfit = |field: &str, what| Unfit {
            field: format!("keys[{index}].{field}"),
            what,
        };
        let key = Secret::from_env(&key_env);
        let key = key.map_err(|error| unfit("key_env", format!(": {error}")))?;
        let view = match &view {
            None => View::all(),
            Some(name) => views.get(name).cloned().ok_or_else(|| {
                let expected = "expected the name of a table in static_models_cache.views";
                unfit("view", format!(" is {name:?}, {expected}"))
            })?,
        };
        known.insert(key.expose().to_owned(), view);
    }
    Ok(match known.is_empty() {
        true => Access::open(known),
        false => Access::closed(known),
    })
}

/// Builds a layer to validate the settings. This starts nothing.
fn check(settings: &StaticModelsCacheConfig) -> Result<Builder, BuildError> {
    // The real hook is set later, but settings of views are errors without a hook.
    let builder = settings.builder()?.views(|_| Ok(View::all()));
    drop(builder.clone().build()?);
    Ok(builder)
}

// ===== Errors =====

/// A configuration file that cannot be used.
#[derive(Debug)]
pub(crate) struct BadFile {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.what),
            None => write!(f, "{path}: {}", self.what),
        }
    }
}

impl Error for BadFile {}

/// A setting with the right type and an invalid value.
struct Unfit {
    field: String,
    what: String,
}

impl Unfit {
    /// Names the field by its place in the file. The crate's error names it by provider.
    fn new(place: &str, provider: &str, error: &BuildError) -> Self {
        let field = error.field();
        let name = field.strip_prefix("providers.").unwrap_or(field);
        let name = name.strip_prefix(&format!("{provider}.")).unwrap_or(name);
        let text = error.to_string();
        Self {
            field: format!("{place}.{name}"),
            what: text.strip_prefix(field).unwrap_or(&text).to_owned(),
        }
    }
}

/// Serde's message without the value: `invalid type: string "...", expected a map` becomes
/// `invalid type, expected a map`.
fn without_value(message: &str) -> String {
    let kind = message
        .split([':', '`', '"', ','])
        .next()
        .unwrap_or_default();
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{}, expected {expected}", kind.trim_end()),
        None => message.to_owned(),
    }
}
