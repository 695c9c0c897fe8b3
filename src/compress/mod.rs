//! Compresses lists after publication, off the async workers.
//!
//! Each coding uses the level with the best ratio that takes at most about 200 ms of one
//! core for a list of up to 8 MiB (measured by `benches/publish.rs`): lists change a few
//! times per day and are sent many thousand times. The lists of views, of which there may
//! be a thousand, get a tenth of that budget.

use std::io::Write;

use bytes::Bytes;

use crate::encoding::{Coding, CompressionLevel};

/// A smaller list fits into one packet uncompressed.
const WORTHWHILE: usize = 1024;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Whether a list of this size is compressed at all.
pub(crate) fn is_worthwhile(bytes: usize) -> bool {
    bytes >= WORTHWHILE
}

type Encoder = fn(&[u8], CompressionLevel) -> Vec<u8>;

/// Compresses the list in every coding. Returns `None` if `stopped` returns `true` in
/// between, because the result is no longer needed.
pub(crate) fn encode(
    body: &Bytes,
    level: CompressionLevel,
    stopped: impl Fn() -> bool,
) -> Option<Vec<(Coding, Bytes)>> {
    let codings: [(Coding, Encoder); 3] = [
        (Coding::Gzip, gzip),
        (Coding::Zstd, zstd),
        (Coding::Br, brotli),
    ];
    let mut encoded = Vec::with_capacity(codings.len());
    for (coding, encode) in codings {
        if stopped() {
            return None;
        }
        let mut variant = encode(body, level);
        variant.shrink_to_fit(); // encoders reserve for the worst case, and this is kept
        encoded.push((coding, variant.into()));
    }
    Some(encoded)
}

fn gzip(body: &[u8], _: CompressionLevel) -> Vec<u8> {
    // Higher levels gain nothing on lists.
    let level = flate2::Compression::new(6);
    let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
    to.write_all(body).expect("a vector takes all");
    to.finish().expect("a vector takes all")
}

fn zstd(body: &[u8], level: CompressionLevel) -> Vec<u8> {
    let level = match body.len() {
        _ if level == CompressionLevel::Fast => 3,
        bytes if bytes <= 384 * KIB => 19,
        bytes if bytes <= 2 * MIB => 15,
        _ => 9,
    };
    zstd::bulk::compress(body, level).expect("a list fits into memory once more")
}

fn brotli(body: &[u8], level: CompressionLevel) -> Vec<u8> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: match body.len() {
            _ if level == CompressionLevel::Fast => 4,
            bytes if bytes <= 96 * KIB => 11,
            bytes if bytes <= 2 * MIB => 9,
            bytes if bytes <= 8 * MIB => 5,
            _ => 2,
        },
        size_hint: body.len(),
        lgwin: 22,
        ..Default::default()
    };
    let mut to = Vec::new();
    brotli::BrotliCompress(&mut &body[..], &mut to, &params).expect("a vector takes all");
    to
}
