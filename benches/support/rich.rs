//! Lists as rich as OpenRouter's: made-up content in the real format.

use std::fmt::Write;

/// A list of this many models, of about 1,400 bytes each.
pub fn openrouter(models: usize) -> Vec<u8> {
    let mut text = String::from(r#"{"data":["#);
    for index in 0..models {
        if index > 0 {
            text.push(',');
        }
        record(&mut text, index);
    }
    write!(
        text,
        r#"],"links":{{"next":null}},"total_count":{models}}}"#
    )
    .unwrap();
    text.into_bytes()
}

const VENDORS: [&str; 8] = [
    "acme",
    "meadow",
    "north-star",
    "open-lab",
    "quill",
    "vector",
    "willow",
    "zenith",
];
const FAMILIES: [&str; 7] = [
    "aurora", "basalt", "cobalt", "delta", "ember", "flint", "gale",
];
const SIZES: [&str; 6] = ["3b", "8b", "14b", "70b", "8x7b", "405b"];
const KINDS: [&str; 5] = ["instruct", "chat", "coder", "vision", "preview"];
const PARAMETERS: [&str; 20] = [
    "frequency_penalty",
    "include_reasoning",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "min_p",
    "presence_penalty",
    "reasoning",
    "repetition_penalty",
    "response_format",
    "seed",
    "stop",
    "structured_outputs",
    "temperature",
    "tool_choice",
    "tools",
    "top_a",
    "top_k",
    "top_logprobs",
    "top_p",
];

fn record(text: &mut String, index: usize) {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let mut below = |end: usize| random.usize(..end);
    let vendor = VENDORS[below(VENDORS.len())];
    let family = FAMILIES[below(FAMILIES.len())];
    let size = SIZES[below(SIZES.len())];
    let kind = KINDS[below(KINDS.len())];
    let (input, modality) = [
        (r#""text""#, "text->text"),
        (r#""text","image""#, "text+image->text"),
        (r#""text","image","file""#, "text+image+file->text"),
        (r#""image","text","video""#, "text+image+video->text"),
    ][below(4)];
    let context = [32_768, 131_072, 200_000, 1_048_576][below(4)];
    let output = [8_192, 16_384, 65_536][below(3)];
    let created = 1_690_000_000 + below(80_000_000);
    let (prompt, completion) = (1 + below(900), 1 + below(9_000));
    let slug = format!("{vendor}/{family}-{size}-{kind}-{index:05}");
    let parameters = PARAMETERS.iter().filter(|_| below(4) > 0);
    let parameters = Vec::from_iter(parameters.map(|name| format!("{name:?}"))).join(",");
    let score = below(1000);
    write!(
        text,
        r#"{{"id":"{slug}","canonical_slug":"{slug}-20260{month}{day:02}","hugging_face_id":"{vendor}/{family}-{size}",
"name":"{vendor}: {family} {size} {kind} {index}","created":{created},
"description":"{family} {size} {kind} is a model that {vendor} made up for \"measuring\". It takes {modality}, has room for {context} tokens, and says nothing of its own;\nthe text is about as long as those of real lists are, which are cut off after some lines...",
"context_length":{context},"architecture":{{"modality":"{modality}","input_modalities":[{input}],"output_modalities":["text"],"tokenizer":"{family}","instruct_type":null}},
"benchmarks":{{"artificial_analysis":{{"agentic_index":{score}.5,"coding_index":{score}.25,"intelligence_index":61.7}},"design_arena":[{{"arena":"models","category":"code","elo":1{score:03}.0,"rank":{score}}}]}},
"pricing":{{"prompt":"0.{prompt:09}","completion":"0.{completion:09}","input_cache_read":"0.0000000{prompt}","request":"0","image":"0"}},
"top_provider":{{"context_length":{context},"max_completion_tokens":{output},"is_moderated":false}},
"per_request_limits":null,"supported_parameters":[{parameters}],
"default_parameters":{{"temperature":0.6,"top_p":null,"frequency_penalty":null}},"supported_voices":null,"knowledge_cutoff":"2025-0{month}-31","expiration_date":null,
"links":{{"details":"/api/v1/models/{slug}/endpoints"}}}}"#,
        month = 1 + index % 9,
        day = 1 + index % 28,
    )
    .unwrap();
}
