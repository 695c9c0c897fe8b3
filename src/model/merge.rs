//! Merging of two descriptions of a model.

use super::{Capabilities, Extra, Model, Prices};

impl Model {
    /// Creates an empty description: properties of a model without its id.
    ///
    /// Descriptions are for [enrichers](crate::enrich::Enrich) and
    /// [overrides](crate::Builder::override_model). A provider cannot list one.
    ///
    /// ```
    /// use tower_models_cache::Model;
    ///
    /// let known = Model::description().with_context_length(131_072);
    /// assert_eq!(known.context_length(), Some(131_072));
    /// ```
    pub fn description() -> Self {
        Self::new("")
    }

    /// Fills unknown properties from another description.
    ///
    /// Prices are only filled together, if none is known. A maximum input that is larger than
    /// the context length of the model is ignored.
    pub(crate) fn fill(&mut self, from: &Self) {
        fill(&mut self.owned_by, &from.owned_by);
        fill(&mut self.display_name, &from.display_name);
        fill(&mut self.family, &from.family);
        fill(&mut self.context_length, &from.context_length);
        let fits = |max: &u64| self.context_length.is_none_or(|window| *max <= window);
        let max_input = from.max_input_tokens.filter(fits);
        fill(&mut self.max_input_tokens, &max_input);
        fill(&mut self.max_output_tokens, &from.max_output_tokens);
        fill(&mut self.prices, &from.prices);
        fill(&mut self.created, &from.created);
        fill(&mut self.deprecation, &from.deprecation);
        fill(&mut self.open_weights, &from.open_weights);
        if self.input.is_empty() {
            self.input = from.input;
        }
        if self.output.is_empty() {
            self.output = from.output;
        }
        self.capabilities = self.capabilities.or(from.capabilities);
        self.extra = Extra::merged(&self.extra, &from.extra);
    }

    /// Replaces all properties that another description has. Each price and each capability is
    /// replaced individually.
    pub(crate) fn replace(&mut self, by: &Self) {
        let prices = match (&self.prices, &by.prices) {
            (Some(own), Some(by)) => Some(Box::new(by.or(own))),
            (own, by) => by.clone().or_else(|| own.clone()),
        };
        let capabilities = by.capabilities.or(self.capabilities);
        let mut by = Self {
            id: self.id.clone(),
            upstream_id: self.upstream_id.clone(),
            prices,
            capabilities,
            ..by.clone()
        };
        by.fill(self);
        *self = by;
    }

    /// Removes the properties that depend on the provider of the model: prices and deprecation.
    pub(crate) fn without_terms(mut self) -> Self {
        self.prices = None;
        self.deprecation = None;
        self
    }
}

fn fill<T: Clone>(known: &mut Option<T>, from: &Option<T>) {
    if known.is_none() {
        known.clone_from(from);
    }
}

impl Prices {
    fn or(&self, other: &Self) -> Self {
        Self {
            prompt: self.prompt.or(other.prompt),
            completion: self.completion.or(other.completion),
            input_cache_read: self.input_cache_read.or(other.input_cache_read),
            input_cache_write: self.input_cache_write.or(other.input_cache_write),
            request: self.request.or(other.request),
            image: self.image.or(other.image),
        }
    }
}

impl Capabilities {
    /// The union. Where both are known, `self` takes precedence.
    fn or(self, other: Self) -> Self {
        let more = other.known & !self.known;
        Self {
            known: self.known | more,
            present: self.present | (other.present & more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Capability, Deprecation, Modality};

    fn full(tokens: u64, price: &str) -> Model {
        let price = price.parse().ok();
        Model::new("full")
            .with_owned_by(price_name(tokens))
            .with_display_name(price_name(tokens))
            .with_family(price_name(tokens))
            .with_context_length(tokens)
            .with_max_input_tokens(tokens)
            .with_max_output_tokens(tokens)
            .with_created(tokens as u32)
            .with_input([Modality::Text])
            .with_output([Modality::Image])
            .with_capability(Capability::Tools, tokens > 5)
            .with_deprecation(Deprecation::UNDATED)
            .with_open_weights(tokens > 5)
            .with_prices(Prices {
                prompt: price,
                completion: price,
                ..Prices::default()
            })
            .with_extra("more", tokens)
    }

    fn price_name(tokens: u64) -> String {
        format!("name {tokens}")
    }

    #[test]
    fn fill_keeps_known_properties() {
        let mut model = full(9, "1");
        model.fill(&full(4, "2"));
        assert_eq!(model, full(9, "1"));
        let mut model = Model::new("full");
        model.fill(&full(4, "2"));
        assert_eq!(model, full(4, "2"));
        model.fill(&Model::description());
        assert_eq!(model, full(4, "2"));
    }

    #[test]
    fn replace_keeps_properties_unknown_to_the_other() {
        let mut model = full(9, "1");
        model.replace(&full(4, "2"));
        assert_eq!(model, full(4, "2"));
        model.replace(&Model::description());
        assert_eq!(model, full(4, "2"));
        let read = Prices {
            input_cache_read: "3".parse().ok(),
            ..Prices::default()
        };
        model.replace(&Model::description().with_prices(read));
        let prices = model.prices().expect("are known");
        assert_eq!(
            (prices.prompt, prices.input_cache_read),
            ("2".parse().ok(), "3".parse().ok())
        );
        model.replace(&Model::description().with_capability(Capability::Chat, true));
        assert_eq!(model.capabilities().get(Capability::Tools), Some(false));
    }

    #[test]
    fn fill_ignores_input_beyond_context_length() {
        let mut model = Model::new("a").with_context_length(5);
        model.fill(&Model::description().with_max_input_tokens(6));
        assert_eq!(model.max_input_tokens(), None);
        model.fill(&Model::description().with_max_input_tokens(5));
        assert_eq!(model.max_input_tokens(), Some(5));
    }
}
