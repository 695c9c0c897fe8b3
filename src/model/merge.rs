//! What is known of one model from two sides: which side goes before.

use super::{Capabilities, Extra, Model, Prices};

impl Model {
    /// A description: facts of a model, without its id. It is for
    /// [enrichers](crate::Enrich) and [overrides](crate::Builder::override_model), and
    /// cannot be listed.
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

    /// Takes from a description what is not known. Prices belong together: they are taken
    /// where none is known at all. So do the window and what fits into it: no model takes
    /// in more than its own window.
    pub(crate) fn fill(&mut self, from: &Self) {
        fill(&mut self.owned_by, &from.owned_by);
        fill(&mut self.display_name, &from.display_name);
        fill(&mut self.family, &from.family);
        fill(&mut self.context_length, &from.context_length);
        let fits = |most: &u64| self.context_length.is_none_or(|window| *most <= window);
        let most = from.max_input_tokens.filter(fits);
        fill(&mut self.max_input_tokens, &most);
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

    /// Takes all that a description knows, each price and each capability for itself.
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

    /// What does not change from one provider of a model to another: neither what it costs
    /// there, nor how long it stays there.
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
    /// What is known here, and beside it what is known there.
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
    fn what_is_known_stays_and_what_is_not_is_filled() {
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
    fn what_replaces_is_all_that_it_knows_and_nothing_else() {
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
    fn nothing_is_filled_that_does_not_fit_into_the_window() {
        let mut model = Model::new("a").with_context_length(5);
        model.fill(&Model::description().with_max_input_tokens(6));
        assert_eq!(model.max_input_tokens(), None);
        model.fill(&Model::description().with_max_input_tokens(5));
        assert_eq!(model.max_input_tokens(), Some(5));
    }
}
