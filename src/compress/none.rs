//! No codings: used if the feature `compression` is off.

use bytes::Bytes;

use crate::encoding::{Coding, CompressionLevel};

pub(crate) fn is_worthwhile(_: usize) -> bool {
    false
}

pub(crate) fn encode(
    _: &Bytes,
    _: CompressionLevel,
    _: impl Fn() -> bool,
) -> Option<Vec<(Coding, Bytes)>> {
    None
}
