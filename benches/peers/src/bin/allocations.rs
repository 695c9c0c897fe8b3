//! Prints the allocations of each call of each case, one per line: table, case,
//! allocations, bytes.
//!
//! A separate binary that the bench runs, because counting slows down the allocator.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tower_models_cache_peers::{
    case::{Gauge, Idle},
    tables,
};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Allocations<'a> {
    region: Region<'a, System>,
    seen: Stats,
}

impl Gauge for Allocations<'_> {
    fn start(&mut self) {
        self.region.reset();
    }

    fn stop(&mut self) {
        self.seen = self.region.change();
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let sizes = std::env::args().skip(1).map(|size| size.parse().unwrap());
    let lists = sizes.map(|models| tables::lists(&runtime, models));
    let _in = runtime.enter();
    let mut allocations = Allocations {
        region: Region::new(GLOBAL),
        seen: Stats::default(),
    };
    for table in lists.chain([tables::pass_through(&runtime)]) {
        for mut case in table.cases {
            case.run(2, &mut Idle);
            // The median of a few calls: caches do maintenance now and then.
            let mut counts: Vec<_> = (0..9)
                .map(|_| {
                    case.run(1, &mut allocations);
                    let seen = allocations.seen;
                    (seen.allocations + seen.reallocations, seen.bytes_allocated)
                })
                .collect();
            counts.sort_unstable();
            let (count, bytes) = counts[counts.len() / 2];
            println!("{}\t{}\t{count}\t{bytes}", table.title, case.name);
        }
    }
}
