//! Runs cases in turn, so that other load on the machine affects all of them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench measures real time"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// A case: a function that measures itself once.
pub struct Case<'a> {
    pub name: String,
    run: Box<dyn FnMut() -> Duration + 'a>,
    times: Vec<f64>,
}

impl<'a> Case<'a> {
    /// A case that measures its own duration, without its set-up.
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            times: Vec::new(),
        }
    }

    /// A case that is measured as a whole, including the drop of its result.
    pub fn whole<T>(name: impl Into<String>, mut work: impl FnMut() -> T + 'a) -> Self {
        Self::new(name, move || time(|| drop(black_box(work()))))
    }

    pub fn median(&self) -> f64 {
        median(self.times.iter().copied())
    }

    /// The median of the ratios within each round.
    pub fn ratio(&self, floor: &Self) -> f64 {
        let pairs = self.times.iter().zip(&floor.times);
        median(pairs.map(|(own, floor)| own / floor))
    }
}

/// Runs the cases in turn, after one warm-up round.
pub fn run(rounds: usize, cases: &mut [Case<'_>]) {
    for round in 0..=rounds {
        for case in &mut *cases {
            let took = (case.run)().as_secs_f64();
            if round > 0 {
                case.times.push(took);
            }
        }
    }
}

pub fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

pub async fn time_of<F: Future>(work: F) -> Duration {
    let began = Instant::now();
    let _ = work.await;
    began.elapsed()
}

pub fn now() -> Instant {
    Instant::now()
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Formats seconds for people.
pub fn human(seconds: f64) -> String {
    match seconds {
        1e-3.. => format!("{:.2} ms", seconds * 1e3),
        1e-6.. => format!("{:.1} µs", seconds * 1e6),
        _ => format!("{:.0} ns", seconds * 1e9),
    }
}
