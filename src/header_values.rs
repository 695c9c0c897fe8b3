//! The field lines of one name in a `HeaderMap`.

use http::{HeaderMap, HeaderName, HeaderValue};

/// All values of this name, in order.
///
/// Compares every name instead of looking it up. With as few headers as requests have, this
/// costs a fraction of the map's hash, which takes one multiplication per byte, each dependent
/// on the one before.
#[inline]
pub(crate) fn header_values(
    headers: &HeaderMap,
    name: HeaderName,
) -> impl Iterator<Item = &HeaderValue> {
    let of_name = move |(other, _): &(&HeaderName, &HeaderValue)| **other == name;
    headers.iter().filter(of_name).map(|(_, line)| line)
}
