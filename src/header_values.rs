//! The field lines of one name in a header map.

use http::{HeaderMap, HeaderName, HeaderValue};

/// All lines of this name, in their order.
///
/// By a look at each name: for as many headers as requests have, that costs a
/// fraction of the hash by which the map finds one, which takes a multiplication for
/// every byte, each waiting for the last.
#[inline]
pub(crate) fn header_values(
    headers: &HeaderMap,
    name: HeaderName,
) -> impl Iterator<Item = &HeaderValue> {
    let of_name = move |(other, _): &(&HeaderName, &HeaderValue)| **other == name;
    headers.iter().filter(of_name).map(|(_, line)| line)
}
