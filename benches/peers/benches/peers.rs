//! Prints all tables.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml [-- SIZE...]`
//!
//! The cases of a table run in turn, round after round, so that other load on the machine
//! affects all of them. A ratio is the median of the ratios within each round.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a bench measures real time"
)]

use std::{
    collections::HashMap,
    process::Command,
    time::{Duration, Instant},
};

use tower_models_cache_peers::{
    case::{Case, Gauge, Idle},
    herd, tables,
};

const ROUNDS: usize = 300;
/// How many times the cold herd runs per contender.
const HERDS: usize = 5;
/// The approximate duration of one run of calls.
const RUN: Duration = Duration::from_micros(50);
/// The approximate duration of all runs of a slow case in one table.
const BUDGET: Duration = Duration::from_secs(2);

struct Clock {
    began: Instant,
    took: Duration,
}

impl Gauge for Clock {
    fn start(&mut self) {
        self.began = Instant::now();
    }

    fn stop(&mut self) {
        self.took = self.began.elapsed();
    }
}

impl Clock {
    fn new() -> Self {
        let (began, took) = (Instant::now(), Duration::ZERO);
        Self { began, took }
    }

    /// Nanoseconds per call.
    fn time(&mut self, case: &mut Case, calls: usize) -> f64 {
        case.run(calls, self);
        self.took.as_nanos() as f64 / calls as f64
    }
}

/// How a case runs: the number of calls per run, in every n-th round.
struct Pace {
    calls: usize,
    every: usize,
}

impl Pace {
    fn of(case: &mut Case, clock: &mut Clock) -> Self {
        let call = (0..3).map(|_| clock.time(case, 1)).fold(f64::MAX, f64::min);
        let calls = (RUN.as_nanos() as f64 / call).clamp(1.0, 256.0) as usize;
        let all = call * calls as f64 * ROUNDS as f64;
        let every = (all / BUDGET.as_nanos() as f64).ceil() as usize;
        let every = every.clamp(1, ROUNDS / 10);
        Self { calls, every }
    }
}

/// Nanoseconds of each case in each round.
fn measure(cases: &mut [Case]) -> Vec<Vec<Option<f64>>> {
    let mut clock = Clock::new();
    let paces: Vec<_> = cases
        .iter_mut()
        .map(|case| Pace::of(case, &mut clock))
        .collect();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let time = |(case, pace): (&mut Case, &Pace)| {
            if round % pace.every != 0 {
                return None;
            }
            if pace.calls > 1 {
                // Warm up: the previous case has filled the processor's caches.
                case.run(pace.calls / 4, &mut Idle);
            }
            Some(clock.time(case, pace.calls))
        };
        rounds.push(cases.iter_mut().zip(&paces).map(time).collect());
    }
    rounds
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median over the rounds of `compare` applied to two cases.
fn figure(
    rounds: &[Vec<Option<f64>>],
    case: usize,
    other: usize,
    compare: impl Fn(f64, f64) -> f64,
) -> f64 {
    let in_round = |round: &Vec<_>| Some(compare(round[case]?, round[other]?));
    median(rounds.iter().filter_map(in_round))
}

type Allocations = HashMap<(String, String), (usize, usize)>;

fn allocations(sizes: &[usize]) -> Allocations {
    let output = Command::new(env!("CARGO_BIN_EXE_allocations"))
        .args(sizes.iter().map(ToString::to_string))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let line = |line: &str| {
        let [table, case, count, bytes] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let key = (table.to_owned(), case.to_owned());
        (key, (count.parse().unwrap(), bytes.parse().unwrap()))
    };
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().map(line).collect()
}

fn print(mut table: tables::Table, floors: usize, allocations: &Allocations) {
    let rounds = measure(&mut table.cases);
    println!("\n## {}\n", table.title);
    print!("| | median ns |");
    for floor in &table.cases[..floors] {
        print!(" to {} |", floor.name);
    }
    println!(
        " ns over {} | allocations | bytes allocated |",
        table.cases[floors - 1].name
    );
    println!("| --- | --: |{} --: | --: | --: |", " --: |".repeat(floors));
    for (index, case) in table.cases.iter().enumerate() {
        let own = figure(&rounds, index, index, |own, _| own);
        print!("| {} | {own:.0} |", case.name);
        for floor in 0..floors {
            let ratio = figure(&rounds, index, floor, |own, floor| own / floor);
            match ratio {
                100.0.. => print!(" {ratio:.0} |"),
                _ => print!(" {ratio:.2} |"),
            }
        }
        let key = (table.title.clone(), case.name.to_owned());
        let (count, bytes) = allocations[&key];
        let over = figure(&rounds, index, floors - 1, |own, floor| own - floor);
        println!(" {over:+.0} | {count} | {bytes} |");
    }
    if !table.remarks.is_empty() {
        println!();
    }
    for (name, remark) in &table.remarks {
        println!("- {name}: {remark}");
    }
}

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|size| size.parse().ok())
        .collect();
    let sizes = match &sizes[..] {
        [] => &[500, 50, 5_000, 50_000][..],
        sizes => sizes,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let allocations = allocations(sizes);
    for &models in sizes {
        let table = tables::lists(&runtime, models);
        let _in = runtime.enter();
        print(table, 2, &allocations);
    }
    let table = tables::pass_through(&runtime);
    let in_runtime = runtime.enter();
    print(table, 1, &allocations);
    drop(in_runtime);

    let delay = herd::DELAY;
    println!("\n## Cold herd: 1,000 requests at once, 10 providers that take {delay:?}\n");
    println!("| | provider calls | half done after | all done after |");
    println!("| --- | --: | --: | --: |");
    let rounds: Vec<_> = (0..HERDS).map(|_| herd::herds()).collect();
    for (index, herd::Outcome { name, calls, .. }) in rounds[0].iter().enumerate() {
        let of = |wait: fn(&herd::Outcome) -> Duration| {
            median(
                rounds
                    .iter()
                    .map(|round| wait(&round[index]).as_secs_f64() * 1e3),
            )
        };
        let (half, all) = (of(|herd| herd.half), of(|herd| herd.all));
        println!("| {name} | {calls} | {half:.1} ms | {all:.1} ms |");
    }
}
