//! The prices of a record, by the unit that the provider uses.

use super::{fields::Fields, rules::PriceRule};
use crate::model::{Price, Prices};

// The names of each price in a pricing object.
const PROMPT: [&str; 3] = ["prompt", "input", "input_tokens"];
const COMPLETION: [&str; 3] = ["completion", "output", "output_tokens"];
const READ: [&str; 4] = [
    "input_cache_read",
    "cached_input",
    "cache_read",
    "cache_read_tokens",
];
const WRITE: [&str; 2] = ["input_cache_write", "cache_write"];

/// The prices of a record.
pub(super) fn prices(fields: &Fields<'_>, rule: PriceRule) -> Prices {
    match rule {
        PriceRule::TenThousandths => flat(fields, 10),
        PriceRule::Tiers => tiers(fields),
        PriceRule::Per(power) => {
            let pricing = fields.object("pricing");
            pricing.map_or(Prices::default(), |pricing| per(&pricing, power))
        }
        // A record that names the unit itself needs no rule.
        PriceRule::Unknown => fields
            .object("pricing")
            .filter(|pricing| pricing.text("unit").as_deref() == Some("usd_per_1m_tokens"))
            .map_or(Prices::default(), |pricing| per(&pricing, 6)),
    }
}

/// Reads a pricing object, with prices per 10^`power` tokens.
pub(super) fn per(pricing: &Fields<'_>, power: u32) -> Prices {
    let first = |names: &[&str], power| {
        let price = |name: &&str| Price::per(&pricing.number(name)?, power);
        names.iter().find_map(price)
    };
    Prices {
        prompt: first(&PROMPT, power),
        completion: first(&COMPLETION, power),
        input_cache_read: first(&READ, power),
        input_cache_write: first(&WRITE, power),
        // Per request or image, not per token.
        request: first(&["request"], 0),
        image: first(&["image"], 0),
    }
}

/// Reads prices from fields of the record itself.
fn flat(fields: &Fields<'_>, power: u32) -> Prices {
    let price = |name| Price::per(&fields.number(name)?, power);
    Prices {
        prompt: price("input_token_price_per_m"),
        completion: price("output_token_price_per_m"),
        ..Prices::default()
    }
}

/// Reads tiered prices: the only tier, or the one without conditions.
fn tiers(fields: &Fields<'_>) -> Prices {
    let Some(pricings) = fields.object("pricings") else {
        return Prices::default();
    };
    let price = |name| {
        let tiers = pricings.objects(name);
        let is_base = |tier: &&Fields<'_>| {
            tiers.len() == 1 || tier.object("conditions").is_none_or(|of| of.is_empty())
        };
        let tier = tiers.iter().find(is_base)?;
        let power = match tier.text("unit").as_deref() {
            Some("perMTokens") => 6,
            _ => return None,
        };
        if tier
            .text("currency")
            .is_none_or(|currency| currency == "USD")
        {
            Price::per(&tier.number("value")?, power)
        } else {
            None
        }
    };
    Prices {
        prompt: price("prompt"),
        completion: price("completion"),
        input_cache_read: price("input_cache_read"),
        input_cache_write: price("input_cache_write"),
        ..Prices::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(record: &str, rule: PriceRule) -> String {
        let fields = serde_json::from_str(record).expect("is an object");
        serde_json::to_string(&prices(&fields, rule)).expect("is plain")
    }

    #[test]
    fn prices_are_converted_from_the_providers_unit() {
        use PriceRule::{Per, TenThousandths, Tiers, Unknown};
        for (record, rule, expected) in [
            (
                r#"{"pricing":{"prompt":"0.0000025","completion":"-1","request":"0","image":"0.01","overrides":[1]}}"#,
                Per(0),
                r#"{"prompt":"0.0000025","request":"0","image":"0.01"}"#,
            ),
            (
                r#"{"pricing":{"input":0.18,"output":5.9e-1,"cached_input":0.05,"hourly":0,"request":2}}"#,
                Per(6),
                r#"{"prompt":"0.00000018","completion":"0.00000059","input_cache_read":"0.00000005","request":"2"}"#,
            ),
            (
                r#"{"pricing":{"input_tokens":2.5999999999999996,"output_tokens":null}}"#,
                Per(6),
                r#"{"prompt":"0.0000025999999999999996"}"#,
            ),
            (
                r#"{"input_token_price_per_m":40000,"output_token_price_per_m":160000}"#,
                TenThousandths,
                r#"{"prompt":"0.000004","completion":"0.000016"}"#,
            ),
            (r#"{"pricing":{"prompt":"1.40"}}"#, Unknown, "{}"),
            (
                r#"{"pricing":{"input":3,"cache_write":3.75,"unit":"usd_per_1m_tokens"}}"#,
                Unknown,
                r#"{"prompt":"0.000003","input_cache_write":"0.00000375"}"#,
            ),
            (
                r#"{"pricings":{"prompt":[{"value":1.2,"unit":"perMTokens","currency":"USD"}],
                    "completion":[{"value":6,"unit":"perMTokens","currency":"CNY"}],
                    "input_cache_write":[{"value":2,"unit":"perMTokens","conditions":{"prompt_tokens":{"gte":1}}}],
                    "input_cache_read":[{"value":1,"unit":"perMTokens","conditions":{"prompt_tokens":{"gte":1}}},
                        {"value":0.5,"unit":"perMTokens","conditions":{}}]}}"#,
                Tiers,
                r#"{"prompt":"0.0000012","input_cache_read":"0.0000005","input_cache_write":"0.000002"}"#,
            ),
            (r#"{"pricing":[]}"#, Per(0), "{}"),
        ] {
            assert_eq!(read(record, rule), expected, "{record}");
        }
    }
}
