#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tower_models_cache_fuzz::check_catalog(data));
