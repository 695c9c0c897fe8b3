//! Presets: what is known of providers that many use.

use std::{fmt, str::FromStr};

use http::{HeaderName, header};

use super::dialect::{Dialect, PriceRule};

/// A provider that many use: its address, the header of its key, its dialect, and what
/// its numbers mean.
///
/// In a file, a preset is its [name](Self::name). Those of servers that people run
/// themselves have the address at which they listen when nothing else is said, if there is
/// one; those without, and those with an address of each customer, have none, and building
/// fails until a [`base_url`](super::Provider::base_url) is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// `anthropic`.
    Anthropic,
    /// `azure`: Azure OpenAI, the models that a resource could deploy. The base URL is the
    /// resource's, such as `https://RESOURCE.openai.azure.com`.
    Azure,
    /// `azure-deployments`: Azure OpenAI, what a resource has deployed, under the names
    /// that are called. The base URL is as for `azure`.
    AzureDeployments,
    /// `bedrock`: the foundation models of Amazon Bedrock. The base URL is the region's,
    /// `https://bedrock.REGION.amazonaws.com`. The key is one of Bedrock's; feature
    /// `bedrock` signs instead.
    Bedrock,
    /// `bedrock-mantle`: Amazon Bedrock's OpenAI API. The base URL is the region's,
    /// `https://bedrock-mantle.REGION.api.aws/v1`.
    BedrockMantle,
    /// `bedrock-profiles`: the inference profiles of Amazon Bedrock. The base URL is as
    /// for `bedrock`.
    BedrockProfiles,
    /// `cerebras`.
    Cerebras,
    /// `cerebras-public`: Cerebras's list with prices, which takes no key.
    CerebrasPublic,
    /// `chutes`. A key is demanded, though the list is there without: it is a shorter one
    /// then, which nothing tells from the whole.
    Chutes,
    /// `cloudflare`: Workers AI. The base URL is the account's,
    /// `https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai`.
    Cloudflare,
    /// `cohere`.
    Cohere,
    /// `dashscope`: Alibaba's models, outside of China.
    DashScope,
    /// `dashscope-cn`: Alibaba's models, in China.
    DashScopeCn,
    /// `deepinfra`.
    DeepInfra,
    /// `deepseek`.
    DeepSeek,
    /// `docker-model-runner`.
    DockerModelRunner,
    /// `fireworks`: the models that can be called.
    Fireworks,
    /// `fireworks-account`: all models of an account. The base URL is the account's,
    /// `https://api.fireworks.ai/v1/accounts/ACCOUNT`.
    FireworksAccount,
    /// `gemini`.
    Gemini,
    /// `github`: GitHub Models. The key is a token with `models:read`.
    GitHub,
    /// `gpustack`. The base URL is the server's.
    GpuStack,
    /// `groq`.
    Groq,
    /// `huggingface`: the router of Hugging Face.
    HuggingFace,
    /// `kimi-coding`: for keys that begin with `sk-kimi-`.
    KimiCoding,
    /// `lemonade`. The base URL is the server's, with `/v1`.
    Lemonade,
    /// `litellm`: the proxy's list of models.
    LiteLlm,
    /// `litellm-info`: the proxy's models with what is known of them.
    LiteLlmInfo,
    /// `llamacpp`.
    LlamaCpp,
    /// `lmdeploy`.
    LmDeploy,
    /// `lmstudio`: LM Studio's OpenAI API.
    LmStudio,
    /// `lmstudio-native`: LM Studio's own API of version 1, which tells more.
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
    /// `tgi`: Text Generation Inference. The base URL is the server's, with `/v1`.
    Tgi,
    /// `together`.
    Together,
    /// `vercel`: the AI Gateway of Vercel.
    Vercel,
    /// `vertex`: Google's models on Vertex AI. The key is an OAuth access token, which
    /// lives for an hour: see [`token`](super::Provider::token). Vertex wants the header
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

/// What is known of a provider.
pub(super) struct PresetFacts {
    name: &'static str,
    pub(super) base: BaseUrl,
    /// Where the list lies on the host of the base URL, whatever the path of that.
    pub(super) path: Option<&'static str>,
    /// Where it lies at the provider's own address, and not at another one.
    pub(super) own_path: Option<&'static str>,
    pub(super) key: HeaderName,
    pub(super) scheme: &'static str,
    pub(super) needs_key: bool,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) dialect: Dialect,
    pub(super) prices: PriceRule,
    pub(super) invents_dates: bool,
}

/// Where a provider is.
#[derive(Clone, Copy)]
pub(super) enum BaseUrl {
    /// Here, for everyone or by default.
    At(&'static str),
    /// Somewhere else for everyone, as in this example.
    Like(&'static str),
}

impl PresetFacts {
    /// A provider that speaks like OpenAI and wants a key as a bearer.
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

    fn key_in(mut self, header: &'static str) -> Self {
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

    fn speaks(mut self, dialect: Dialect) -> Self {
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

fn at(name: &'static str, base: &'static str) -> PresetFacts {
    PresetFacts::new(name, BaseUrl::At(base))
}

fn like(name: &'static str, base: &'static str) -> PresetFacts {
    PresetFacts::new(name, BaseUrl::Like(base))
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
            // ----- with an address of their own -----
            Self::Anthropic => at("anthropic", "https://api.anthropic.com/v1")
                .key_in("x-api-key")
                .speaks(Dialect::Anthropic),
            Self::Cerebras => at("cerebras", "https://api.cerebras.ai/v1"),
            Self::CerebrasPublic => at("cerebras-public", "https://api.cerebras.ai/public/v1")
                .keyless()
                .speaks(Dialect::OpenRouter),
            Self::Chutes => at("chutes", "https://llm.chutes.ai/v1")
                .prices(PriceRule::Per(6))
                .invents_dates(),
            Self::Cohere => at("cohere", "https://api.cohere.com/v1").speaks(Dialect::Cohere),
            Self::DashScope => at(
                "dashscope",
                "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            ),
            Self::DashScopeCn => at(
                "dashscope-cn",
                "https://dashscope.aliyuncs.com/compatible-mode/v1",
            ),
            Self::DeepInfra => {
                at("deepinfra", "https://api.deepinfra.com/v1/openai").prices(PriceRule::Per(6))
            }
            Self::DeepSeek => at("deepseek", "https://api.deepseek.com").own_path("/models"),
            Self::Fireworks => at("fireworks", "https://api.fireworks.ai/inference/v1"),
            Self::Gemini => at("gemini", "https://generativelanguage.googleapis.com/v1beta")
                .key_in("x-goog-api-key")
                .speaks(Dialect::Gemini),
            Self::GitHub => at("github", "https://models.github.ai")
                .path("/catalog/models") // base URLs of inference end in another path
                .headers(&[
                    ("accept", "application/vnd.github+json"),
                    ("x-github-api-version", "2022-11-28"),
                ])
                .speaks(Dialect::Array),
            Self::Groq => at("groq", "https://api.groq.com/openai/v1").prices(PriceRule::Per(0)),
            Self::HuggingFace => at("huggingface", "https://router.huggingface.co/v1"),
            Self::KimiCoding => at("kimi-coding", "https://api.kimi.com/coding/v1").invents_dates(),
            Self::MiniMax => {
                at("minimax", "https://api.minimax.io/anthropic/v1").speaks(Dialect::Anthropic)
            }
            Self::Mistral => at("mistral", "https://api.mistral.ai/v1").invents_dates(),
            Self::Moonshot => at("moonshot", "https://api.moonshot.ai/v1").invents_dates(),
            Self::Novita => {
                at("novita", "https://api.novita.ai/openai/v1").prices(PriceRule::TenThousandths)
            }
            Self::Nvidia => at("nvidia", "https://integrate.api.nvidia.com/v1")
                .keyless()
                .invents_dates(),
            Self::OpenAi => at("openai", "https://api.openai.com/v1"),
            Self::OpenRouter => at("openrouter", "https://openrouter.ai/api/v1")
                .keyless()
                .speaks(Dialect::OpenRouter),
            Self::Perplexity => at("perplexity", "https://api.perplexity.ai/v1"),
            Self::SambaNova => {
                at("sambanova", "https://api.sambanova.ai/v1").prices(PriceRule::Per(0))
            }
            Self::Together => at("together", "https://api.together.xyz/v1")
                .speaks(Dialect::Array)
                .prices(PriceRule::Per(6)),
            Self::Vercel => at("vercel", "https://ai-gateway.vercel.sh/v1")
                .keyless()
                .prices(PriceRule::Per(0)),
            Self::Vertex => {
                at("vertex", "https://aiplatform.googleapis.com").speaks(Dialect::Vertex)
            }
            Self::Xai => at("xai", "https://api.x.ai/v1"),
            Self::XaiLanguage => {
                at("xai-language", "https://api.x.ai/v1").speaks(Dialect::XaiLanguage)
            }
            Self::ZenMux => at("zenmux", "https://zenmux.ai/api/v1")
                .keyless()
                .prices(PriceRule::Tiers),

            // ----- with an address of each customer -----
            Self::Azure => like("azure", AZURE)
                .path("/openai/v1/models?api-version=preview")
                .key_in("api-key")
                .speaks(Dialect::Azure),
            Self::AzureDeployments => like("azure-deployments", AZURE)
                .path("/openai/deployments?api-version=2023-03-15-preview")
                .key_in("api-key")
                .speaks(Dialect::AzureDeployments),
            Self::Bedrock => like("bedrock", BEDROCK).speaks(Dialect::Bedrock),
            Self::BedrockMantle => like(
                "bedrock-mantle",
                "https://bedrock-mantle.us-east-1.api.aws/v1",
            ),
            Self::BedrockProfiles => {
                like("bedrock-profiles", BEDROCK).speaks(Dialect::BedrockProfiles)
            }
            Self::Cloudflare => like(
                "cloudflare",
                "https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai",
            )
            .speaks(Dialect::Cloudflare),
            Self::FireworksAccount => like(
                "fireworks-account",
                "https://api.fireworks.ai/v1/accounts/ACCOUNT",
            )
            .speaks(Dialect::Fireworks),

            // ----- that people run themselves -----
            Self::DockerModelRunner => {
                at("docker-model-runner", "http://localhost:12434/engines/v1").keyless()
            }
            Self::GpuStack => {
                like("gpustack", "https://gpustack.example.com/v1").speaks(Dialect::GpuStack)
            }
            Self::Lemonade => like("lemonade", "http://localhost:8000/v1").keyless(),
            Self::LiteLlm => at("litellm", "http://localhost:4000/v1")
                .keyless()
                .invents_dates(),
            Self::LiteLlmInfo => at("litellm-info", "http://localhost:4000/v1")
                .keyless()
                .speaks(Dialect::LiteLlm),
            Self::LlamaCpp => at("llamacpp", "http://localhost:8080/v1")
                .keyless()
                .invents_dates(),
            Self::LmDeploy => at("lmdeploy", "http://localhost:23333/v1")
                .keyless()
                .invents_dates(),
            Self::LmStudio => at("lmstudio", "http://localhost:1234/v1").keyless(),
            Self::LmStudioNative => at("lmstudio-native", "http://localhost:1234")
                .keyless()
                .speaks(Dialect::LmStudio),
            Self::LocalAi => at("localai", "http://localhost:8080/v1").keyless(),
            Self::Ollama => at("ollama", "http://localhost:11434")
                .keyless()
                .speaks(Dialect::Ollama),
            Self::Sglang => at("sglang", "http://localhost:30000/v1")
                .keyless()
                .invents_dates(),
            Self::Tgi => like("tgi", "http://localhost:8080/v1").keyless(),
            Self::Vllm => at("vllm", "http://localhost:8000/v1")
                .keyless()
                .invents_dates(),
        }
    }

    /// The name, as it stands in a file. A provider that is made from the preset is called
    /// so, unless it is [renamed](super::Provider::with_name).
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The same as [`name`](Self::name).
    pub fn as_str(self) -> &'static str {
        self.name()
    }

    /// The address of the provider's API, if it has one for everyone.
    pub fn base_url(self) -> Option<&'static str> {
        match self.facts().base {
            BaseUrl::At(url) => Some(url),
            BaseUrl::Like(_) => None,
        }
    }

    /// The wire format of the list.
    pub fn dialect(self) -> Dialect {
        self.facts().dialect
    }

    /// The header of the key, and what stands before it there.
    #[cfg(feature = "config")]
    pub(crate) fn key_header(self) -> (HeaderName, &'static str) {
        let facts = self.facts();
        (facts.key, facts.scheme)
    }

    /// What [models.dev](https://models.dev) calls the provider, if it has it: by this its
    /// models are found in a catalogue (feature `catalog`).
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
            // Names that customers give, or servers that people run themselves.
            _ => return None,
        })
    }

    /// Whether building fails without a key or another credential.
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

    /// The preset of this name.
    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.iter().find(|preset| preset.name() == name);
        found.copied().ok_or(UnknownPreset)
    }
}

/// A name that no preset has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPreset;

fn names() -> String {
    let names = Preset::ALL.iter().map(|preset| preset.name());
    Vec::from_iter(names).join(", ")
}

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no preset of this name, which is one of {}", names())
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
