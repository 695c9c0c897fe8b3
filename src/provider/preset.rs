//! Presets: settings of widely used providers.

use std::{fmt, str::FromStr};

use http::{HeaderName, header};

use super::dialect::{Dialect, PriceRule};

/// The settings of a widely used provider: address, header of the key, dialect, and the unit
/// of its prices.
///
/// In a configuration file a preset is its [name](Self::name). The preset of a self-hosted
/// server has the address that the server listens on by default. A preset has no
/// [`base_url`](Self::base_url) if the server has no default address, or if each customer has a
/// different one: building the layer then fails unless
/// [`Provider::base_url`](super::Provider::base_url) is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// `anthropic`.
    Anthropic,
    /// `azure`: Azure OpenAI, the models available to a resource for deployment. The base URL
    /// is that of the resource, such as `https://RESOURCE.openai.azure.com`.
    Azure,
    /// `azure-deployments`: Azure OpenAI, the deployments of a resource, under their deployment
    /// names. The base URL is as for `azure`.
    AzureDeployments,
    /// `bedrock`: the foundation models of Amazon Bedrock. The base URL is
    /// `https://bedrock.REGION.amazonaws.com`. The key is an Amazon Bedrock API key; with
    /// feature `bedrock`, requests can be signed instead.
    Bedrock,
    /// `bedrock-mantle`: the OpenAI API of Amazon Bedrock. The base URL is
    /// `https://bedrock-mantle.REGION.api.aws/v1`.
    BedrockMantle,
    /// `bedrock-profiles`: the inference profiles of Amazon Bedrock. The base URL is as
    /// for `bedrock`.
    BedrockProfiles,
    /// `cerebras`.
    Cerebras,
    /// `cerebras-public`: the public list of Cerebras, with prices. It needs no key.
    CerebrasPublic,
    /// `chutes`. A key is required: without one the provider returns a shorter list, which is
    /// indistinguishable from the whole one.
    Chutes,
    /// `cloudflare`: Workers AI. The base URL is
    /// `https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai`.
    Cloudflare,
    /// `cohere`.
    Cohere,
    /// `dashscope`: Alibaba Cloud Model Studio, the international endpoint.
    DashScope,
    /// `dashscope-cn`: Alibaba Cloud Model Studio, the endpoint in China.
    DashScopeCn,
    /// `deepinfra`.
    DeepInfra,
    /// `deepseek`.
    DeepSeek,
    /// `docker-model-runner`.
    DockerModelRunner,
    /// `fireworks`: the models of the inference API.
    Fireworks,
    /// `fireworks-account`: all models of an account. The base URL is
    /// `https://api.fireworks.ai/v1/accounts/ACCOUNT`.
    FireworksAccount,
    /// `gemini`.
    Gemini,
    /// `github`: GitHub Models. The key is a token with `models:read`.
    GitHub,
    /// `gpustack`. The base URL is that of the server.
    GpuStack,
    /// `groq`.
    Groq,
    /// `huggingface`: the router of Hugging Face.
    HuggingFace,
    /// `kimi-coding`: for keys that start with `sk-kimi-`.
    KimiCoding,
    /// `lemonade`. The base URL is that of the server, with `/v1`.
    Lemonade,
    /// `litellm`: the model list of a LiteLLM proxy.
    LiteLlm,
    /// `litellm-info`: the models of a LiteLLM proxy with details (`/v1/model/info`).
    LiteLlmInfo,
    /// `llamacpp`.
    LlamaCpp,
    /// `lmdeploy`.
    LmDeploy,
    /// `lmstudio`: the OpenAI API of LM Studio.
    LmStudio,
    /// `lmstudio-native`: the native API of LM Studio, version 1, with more details.
    LmStudioNative,
    /// `localai`.
    LocalAi,
    /// `minimax`.
    MiniMax,
    /// `mistral`.
    Mistral,
    /// `moonshot`.
    Moonshot,
    /// `novita`.
    Novita,
    /// `nvidia`.
    Nvidia,
    /// `ollama`.
    Ollama,
    /// `openai`.
    OpenAi,
    /// `openrouter`.
    OpenRouter,
    /// `perplexity`.
    Perplexity,
    /// `sambanova`.
    SambaNova,
    /// `sglang`.
    Sglang,
    /// `tgi`: Text Generation Inference. The base URL is that of the server, with `/v1`.
    Tgi,
    /// `together`.
    Together,
    /// `vercel`: the AI Gateway of Vercel.
    Vercel,
    /// `vertex`: Google's models on Vertex AI. The key is an OAuth access token that expires
    /// after an hour: see [`token`](super::Provider::token). Vertex AI requires the header
    /// `x-goog-user-project` with the name of a project.
    Vertex,
    /// `vllm`.
    Vllm,
    /// `xai`.
    Xai,
    /// `xai-language`: xAI's language models, with prices.
    XaiLanguage,
    /// `zenmux`.
    ZenMux,
}

/// The settings of a preset.
pub(super) struct PresetFacts {
    name: &'static str,
    pub(super) base: BaseUrl,
    /// The path of the list. It replaces the path of the base URL.
    pub(super) path: Option<&'static str>,
    /// The path of the list, used only with the preset's own base URL.
    pub(super) own_path: Option<&'static str>,
    pub(super) key: HeaderName,
    pub(super) scheme: &'static str,
    pub(super) needs_key: bool,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) dialect: Dialect,
    pub(super) prices: PriceRule,
    pub(super) invents_dates: bool,
}

/// The base URL of a provider.
#[derive(Clone, Copy)]
pub(super) enum BaseUrl {
    /// The URL for all customers, or the default of a self-hosted server.
    Default(&'static str),
    /// There is no default. The URL is an example.
    Example(&'static str),
}

impl PresetFacts {
    /// A provider with the OpenAI dialect, and a required key that is sent as a bearer token.
    fn new(name: &'static str, base: BaseUrl) -> Self {
        Self {
            name,
            base,
            path: None,
            own_path: None,
            key: header::AUTHORIZATION,
            scheme: "Bearer ",
            needs_key: true,
            headers: &[],
            dialect: Dialect::OpenAi,
            prices: PriceRule::Unknown,
            invents_dates: false,
        }
    }

    fn path(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    fn own_path(mut self, path: &'static str) -> Self {
        self.own_path = Some(path);
        self
    }

    fn key_header(mut self, header: &'static str) -> Self {
        self.key = HeaderName::from_static(header);
        self.scheme = "";
        self
    }

    fn keyless(mut self) -> Self {
        self.needs_key = false;
        self
    }

    fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    fn prices(mut self, rule: PriceRule) -> Self {
        self.prices = rule;
        self
    }

    fn invents_dates(mut self) -> Self {
        self.invents_dates = true;
        self
    }
}

fn with_base(name: &'static str, base: &'static str) -> PresetFacts {
    PresetFacts::new(name, BaseUrl::Default(base))
}

fn with_example(name: &'static str, base: &'static str) -> PresetFacts {
    PresetFacts::new(name, BaseUrl::Example(base))
}

impl Preset {
    /// Every preset.
    pub const ALL: &[Self] = &[
        Self::Anthropic,
        Self::Azure,
        Self::AzureDeployments,
        Self::Bedrock,
        Self::BedrockMantle,
        Self::BedrockProfiles,
        Self::Cerebras,
        Self::CerebrasPublic,
        Self::Chutes,
        Self::Cloudflare,
        Self::Cohere,
        Self::DashScope,
        Self::DashScopeCn,
        Self::DeepInfra,
        Self::DeepSeek,
        Self::DockerModelRunner,
        Self::Fireworks,
        Self::FireworksAccount,
        Self::Gemini,
        Self::GitHub,
        Self::GpuStack,
        Self::Groq,
        Self::HuggingFace,
        Self::KimiCoding,
        Self::Lemonade,
        Self::LiteLlm,
        Self::LiteLlmInfo,
        Self::LlamaCpp,
        Self::LmDeploy,
        Self::LmStudio,
        Self::LmStudioNative,
        Self::LocalAi,
        Self::MiniMax,
        Self::Mistral,
        Self::Moonshot,
        Self::Novita,
        Self::Nvidia,
        Self::Ollama,
        Self::OpenAi,
        Self::OpenRouter,
        Self::Perplexity,
        Self::SambaNova,
        Self::Sglang,
        Self::Tgi,
        Self::Together,
        Self::Vercel,
        Self::Vertex,
        Self::Vllm,
        Self::Xai,
        Self::XaiLanguage,
        Self::ZenMux,
    ];

    pub(super) fn facts(self) -> PresetFacts {
        const AZURE: &str = "https://RESOURCE.openai.azure.com";
        const BEDROCK: &str = "https://bedrock.us-east-1.amazonaws.com";
        match self {
            // ----- hosted, one address for all customers -----
            Self::Anthropic => with_base("anthropic", "https://api.anthropic.com/v1")
                .key_header("x-api-key")
                .dialect(Dialect::Anthropic),
            Self::Cerebras => with_base("cerebras", "https://api.cerebras.ai/v1"),
            Self::CerebrasPublic => {
                with_base("cerebras-public", "https://api.cerebras.ai/public/v1")
                    .keyless()
                    .dialect(Dialect::OpenRouter)
            }
            Self::Chutes => with_base("chutes", "https://llm.chutes.ai/v1")
                .prices(PriceRule::Per(6))
                .invents_dates(),
            Self::Cohere => {
                with_base("cohere", "https://api.cohere.com/v1").dialect(Dialect::Cohere)
            }
            Self::DashScope => with_base(
                "dashscope",
                "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            ),
            Self::DashScopeCn => with_base(
                "dashscope-cn",
                "https://dashscope.aliyuncs.com/compatible-mode/v1",
            ),
            Self::DeepInfra => with_base("deepinfra", "https://api.deepinfra.com/v1/openai")
                .prices(PriceRule::Per(6)),
            Self::DeepSeek => with_base("deepseek", "https://api.deepseek.com").own_path("/models"),
            Self::Fireworks => with_base("fireworks", "https://api.fireworks.ai/inference/v1"),
            Self::Gemini => with_base("gemini", "https://generativelanguage.googleapis.com/v1beta")
                .key_header("x-goog-api-key")
                .dialect(Dialect::Gemini),
            Self::GitHub => with_base("github", "https://models.github.ai")
                .path("/catalog/models") // the base URL of the inference API has another path
                .headers(&[
                    ("accept", "application/vnd.github+json"),
                    ("x-github-api-version", "2022-11-28"),
                ])
                .dialect(Dialect::Array),
            Self::Groq => {
                with_base("groq", "https://api.groq.com/openai/v1").prices(PriceRule::Per(0))
            }
            Self::HuggingFace => with_base("huggingface", "https://router.huggingface.co/v1"),
            Self::KimiCoding => {
                with_base("kimi-coding", "https://api.kimi.com/coding/v1").invents_dates()
            }
            Self::MiniMax => with_base("minimax", "https://api.minimax.io/anthropic/v1")
                .dialect(Dialect::Anthropic),
            Self::Mistral => with_base("mistral", "https://api.mistral.ai/v1").invents_dates(),
            Self::Moonshot => with_base("moonshot", "https://api.moonshot.ai/v1").invents_dates(),
            Self::Novita => with_base("novita", "https://api.novita.ai/openai/v1")
                .prices(PriceRule::TenThousandths),
            Self::Nvidia => with_base("nvidia", "https://integrate.api.nvidia.com/v1")
                .keyless()
                .invents_dates(),
            Self::OpenAi => with_base("openai", "https://api.openai.com/v1"),
            Self::OpenRouter => with_base("openrouter", "https://openrouter.ai/api/v1")
                .keyless()
                .dialect(Dialect::OpenRouter),
            Self::Perplexity => with_base("perplexity", "https://api.perplexity.ai/v1"),
            Self::SambaNova => {
                with_base("sambanova", "https://api.sambanova.ai/v1").prices(PriceRule::Per(0))
            }
            Self::Together => with_base("together", "https://api.together.xyz/v1")
                .dialect(Dialect::Array)
                .prices(PriceRule::Per(6)),
            Self::Vercel => with_base("vercel", "https://ai-gateway.vercel.sh/v1")
                .keyless()
                .prices(PriceRule::Per(0)),
            Self::Vertex => {
                with_base("vertex", "https://aiplatform.googleapis.com").dialect(Dialect::Vertex)
            }
            Self::Xai => with_base("xai", "https://api.x.ai/v1"),
            Self::XaiLanguage => {
                with_base("xai-language", "https://api.x.ai/v1").dialect(Dialect::XaiLanguage)
            }
            Self::ZenMux => with_base("zenmux", "https://zenmux.ai/api/v1")
                .keyless()
                .prices(PriceRule::Tiers),

            // ----- hosted, an address per customer -----
            Self::Azure => with_example("azure", AZURE)
                .path("/openai/v1/models?api-version=preview")
                .key_header("api-key")
                .dialect(Dialect::Azure),
            Self::AzureDeployments => with_example("azure-deployments", AZURE)
                .path("/openai/deployments?api-version=2023-03-15-preview")
                .key_header("api-key")
                .dialect(Dialect::AzureDeployments),
            Self::Bedrock => with_example("bedrock", BEDROCK).dialect(Dialect::Bedrock),
            Self::BedrockMantle => with_example(
                "bedrock-mantle",
                "https://bedrock-mantle.us-east-1.api.aws/v1",
            ),
            Self::BedrockProfiles => {
                with_example("bedrock-profiles", BEDROCK).dialect(Dialect::BedrockProfiles)
            }
            Self::Cloudflare => with_example(
                "cloudflare",
                "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai",
            )
            .dialect(Dialect::Cloudflare),
            Self::FireworksAccount => with_example(
                "fireworks-account",
                "https://api.fireworks.ai/v1/accounts/ACCOUNT",
            )
            .dialect(Dialect::Fireworks),

            // ----- self-hosted -----
            Self::DockerModelRunner => {
                with_base("docker-model-runner", "http://localhost:12434/engines/v1").keyless()
            }
            Self::GpuStack => with_example("gpustack", "https://gpustack.example.com/v1")
                .dialect(Dialect::GpuStack),
            Self::Lemonade => with_example("lemonade", "http://localhost:8000/v1").keyless(),
            Self::LiteLlm => with_base("litellm", "http://localhost:4000/v1")
                .keyless()
                .invents_dates(),
            Self::LiteLlmInfo => with_base("litellm-info", "http://localhost:4000/v1")
                .keyless()
                .dialect(Dialect::LiteLlm),
            Self::LlamaCpp => with_base("llamacpp", "http://localhost:8080/v1")
                .keyless()
                .invents_dates(),
            Self::LmDeploy => with_base("lmdeploy", "http://localhost:23333/v1")
                .keyless()
                .invents_dates(),
            Self::LmStudio => with_base("lmstudio", "http://localhost:1234/v1").keyless(),
            Self::LmStudioNative => with_base("lmstudio-native", "http://localhost:1234")
                .keyless()
                .dialect(Dialect::LmStudio),
            Self::LocalAi => with_base("localai", "http://localhost:8080/v1").keyless(),
            Self::Ollama => with_base("ollama", "http://localhost:11434")
                .keyless()
                .dialect(Dialect::Ollama),
            Self::Sglang => with_base("sglang", "http://localhost:30000/v1")
                .keyless()
                .invents_dates(),
            Self::Tgi => with_example("tgi", "http://localhost:8080/v1").keyless(),
            Self::Vllm => with_base("vllm", "http://localhost:8000/v1")
                .keyless()
                .invents_dates(),
        }
    }

    /// Returns the name of the preset, as used in configuration files. It is also the name of
    /// a provider created from the preset, unless
    /// [`with_name`](super::Provider::with_name) sets another.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the same as [`name`](Self::name).
    pub fn as_str(self) -> &'static str {
        self.name()
    }

    /// Returns the base URL of the provider's API, or `None` if one has to be set.
    pub fn base_url(self) -> Option<&'static str> {
        match self.facts().base {
            BaseUrl::Default(url) => Some(url),
            BaseUrl::Example(_) => None,
        }
    }

    /// Returns the wire format of the list.
    pub fn dialect(self) -> Dialect {
        self.facts().dialect
    }

    /// The header of the key, and the prefix of its value.
    #[cfg(feature = "config")]
    pub(crate) fn key_header(self) -> (HeaderName, &'static str) {
        let facts = self.facts();
        (facts.key, facts.scheme)
    }

    /// Returns the id of the provider at [models.dev](https://models.dev), if it is listed
    /// there. It is used to look up models in a catalogue (feature `catalog`).
    pub fn catalog_id(self) -> Option<&'static str> {
        Some(match self {
            Self::Azure => "azure",
            Self::Bedrock | Self::BedrockMantle | Self::BedrockProfiles => "amazon-bedrock",
            Self::Cerebras | Self::CerebrasPublic => "cerebras",
            Self::Cloudflare => "cloudflare-workers-ai",
            Self::DashScope => "alibaba",
            Self::DashScopeCn => "alibaba-cn",
            Self::Fireworks | Self::FireworksAccount => "fireworks-ai",
            Self::Gemini => "google",
            Self::GitHub => "github-models",
            Self::KimiCoding => "kimi-for-coding",
            Self::Moonshot => "moonshotai",
            Self::Novita => "novita-ai",
            Self::Together => "togetherai",
            Self::Vertex => "google-vertex",
            Self::Xai | Self::XaiLanguage => "xai",
            Self::Anthropic
            | Self::Chutes
            | Self::Cohere
            | Self::DeepInfra
            | Self::DeepSeek
            | Self::Groq
            | Self::HuggingFace
            | Self::MiniMax
            | Self::Mistral
            | Self::Nvidia
            | Self::OpenAi
            | Self::OpenRouter
            | Self::Perplexity
            | Self::Vercel
            | Self::ZenMux => self.name(),
            // Deployment names chosen by customers, and self-hosted servers.
            _ => return None,
        })
    }

    /// Returns whether building the layer fails without a key or another credential.
    pub fn needs_key(self) -> bool {
        self.facts().needs_key
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    /// Parses the [name](Preset::name) of a preset.
    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.iter().find(|preset| preset.name() == name);
        found.copied().ok_or(UnknownPreset)
    }
}

/// The error returned when parsing an unknown [`Preset`] name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPreset;

fn names() -> String {
    let names = Preset::ALL.iter().map(|preset| preset.name());
    Vec::from_iter(names).join(", ")
}

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown preset, expected one of {}", names())
    }
}

impl std::error::Error for UnknownPreset {}

#[cfg(feature = "config")]
impl<'de> serde::Deserialize<'de> for Preset {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let expected = format!("one of {}", names());
        let unknown = serde::de::Unexpected::Str(&name);
        (name.parse()).map_err(|_| serde::de::Error::invalid_value(unknown, &&*expected))
    }
}
