//! `HttpSource`: fetches all pages of a list from an HTTP service, or fails.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header, response};

use super::{credential::Authorize, next, transport::Transport};
use crate::{
    clock,
    error::{ListError, ListErrorKind},
    provider::{
        dialect::{Dialect, ModelPage, NextPage, Pages, Rules},
        source::{DynSource, ListFuture, ListModels, SourceResponse},
        validator::{Validator, binding},
    },
    tasks::compute,
};

/// A source that fetches a list over HTTP.
pub(super) struct HttpSource(pub(super) Arc<Inner>);

pub(super) struct Inner {
    /// The provider's name and redacted address, for logs and the status.
    pub(super) provider: Arc<str>,
    pub(super) address: String,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) dialect: Dialect,
    pub(super) rules: Rules,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) authorize: Option<Arc<dyn Authorize>>,
}

impl DynSource for HttpSource {
    fn list(&self, request: ListModels) -> ListFuture {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.list(request).await })
    }

    fn address(&self) -> Option<&str> {
        Some(&self.0.address)
    }
}

/// The response for one page.
struct PageResponse {
    headers: HeaderMap,
    body: Bytes,
    /// Identifies the request that the validators in the headers belong to.
    bound_to: u128,
}

impl Inner {
    async fn list(&self, request: ListModels) -> Result<SourceResponse, ListError> {
        tracing::debug!(
            provider = &*self.provider,
            address = self.address,
            "fetching model list"
        );
        let mut pages = Pages::default();
        let mut dialect = self.dialect.clone();
        let mut uri = self.uri.clone();
        let mut seen = HashSet::new();
        let mut bytes = request.bounds.body;
        let mut validator = None;
        loop {
            if seen.len() == request.bounds.pages {
                return Err(ListErrorKind::TooManyPages.into());
            }
            if !seen.insert(uri.to_string()) {
                return Err(ListErrorKind::PageLoop.into());
            }
            let known = request.validator.as_ref().filter(|_| seen.len() == 1);
            let response = self.fetch_page(&uri, bytes, &request, known).await;
            let response = response.map_err(|error| error.after_pages(seen.len() - 1))?;
            let Some(response) = response else {
                return Ok(SourceResponse::Unchanged);
            };
            let PageResponse {
                headers,
                body,
                bound_to,
            } = response;
            bytes -= body.len();
            let max_models = request.bounds.models - pages.models();
            let mut page = self.read(dialect.clone(), body, max_models).await?;
            if let (Dialect::Auto, Some(detected)) = (&dialect, page.detected.take()) {
                dialect = detected; // all pages of a list are in one dialect
            }
            let next_page = page.next.take();
            pages.push(page);
            if pages.models() > request.bounds.models {
                return Err(ListErrorKind::TooManyModels.into());
            }
            let Some(next_page) = next_page else {
                // The validator of one page does not cover the others.
                if seen.len() == 1 {
                    validator = Validator::from_headers(&headers, bound_to, clock::wall());
                }
                let list = pages.into_list().with_dialect(dialect.name());
                return Ok(SourceResponse::List(list, validator));
            };
            uri = match next_page {
                NextPage::Query(set) => next::by_query(&uri, &set)?,
                NextPage::Link(link) => next::by_link(&uri, &link)?,
                NextPage::Unknown => return Err(ListErrorKind::NextPage.into()),
            };
        }
    }

    /// Fetches one page, and retries once with a new credential if the provider rejects the
    /// cached one. Returns `None` if the list has not been modified.
    async fn fetch_page(
        &self,
        uri: &Uri,
        max_bytes: usize,
        request: &ListModels,
        validator: Option<&Validator>,
    ) -> Result<Option<PageResponse>, ListError> {
        let response = self.send(uri, max_bytes, request, validator).await;
        if !self.drop_rejected_credential(&response) {
            return response;
        }
        let response = self.send(uri, max_bytes, request, validator).await;
        self.drop_rejected_credential(&response);
        response
    }

    /// Drops the cached credential if the provider rejected it. Returns whether there was one
    /// to drop.
    fn drop_rejected_credential<T>(&self, response: &Result<T, ListError>) -> bool {
        let status = match response.as_ref().map_err(ListError::kind) {
            Err(ListErrorKind::Status(status)) => status,
            _ => return false,
        };
        let rejects = |authorize: &&Arc<dyn Authorize>| authorize.is_rejection(status);
        let authorize = self.authorize.as_ref().filter(rejects);
        authorize.is_some_and(|authorize| authorize.invalidate())
    }

    async fn send(
        &self,
        uri: &Uri,
        max_bytes: usize,
        request: &ListModels,
        validator: Option<&Validator>,
    ) -> Result<Option<PageResponse>, ListError> {
        let headers_timeout = request.headers_timeout;
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(authorize) = &self.authorize {
            authorize.authorize(&mut request).await?;
        }
        let bound_to = binding(uri, request.headers());
        let validator = validator.filter(|validator| validator.applies_to(bound_to));
        if let Some(validator) = validator {
            validator.set_conditions(request.headers_mut());
        }
        let response = self.transport.send(request, max_bytes);
        let response = clock::within(headers_timeout, response)
            .await
            .ok_or(ListErrorKind::Timeout)??;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED && validator.is_some() {
            return Ok(None);
        }
        check_head(&head)?;
        Ok(Some(PageResponse {
            headers: head.headers,
            body: body.await?,
            bound_to,
        }))
    }

    /// Parses a page, on the blocking pool if the body is large.
    async fn read(
        &self,
        dialect: Dialect,
        body: Bytes,
        max_models: usize,
    ) -> Result<ModelPage, ListError> {
        let rules = Rules {
            records: max_models.saturating_mul(2).saturating_add(SPARE_RECORDS),
            ..self.rules
        };
        compute(body.len(), move || dialect.read_page(&body, &rules)).await
    }
}

/// A page may have twice as many records as models, since some servers send every model in
/// two lists, and this many more that are not models.
const SPARE_RECORDS: usize = 1000;

/// Checks status and headers before the body is read.
///
/// Of the 2xx statuses only 200 and 203 (RFC 9110, sections 15.3.1 and 15.3.4) carry the whole
/// list. A 206 carries part of it, and the others carry something else.
fn check_head(head: &response::Parts) -> Result<(), ListError> {
    const COMPLETE: [StatusCode; 2] = [StatusCode::OK, StatusCode::NON_AUTHORITATIVE_INFORMATION];
    if !COMPLETE.contains(&head.status) {
        let delay = retry_after(&head.headers, clock::wall());
        return Err(
            ListError::new(ListErrorKind::Status(head.status.as_u16())).with_retry_after(delay)
        );
    }
    let value = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    if value(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
    {
        return Err(ListErrorKind::Encoding.into());
    }
    // A login form or a bot challenge, sent with a success status.
    if value(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
    }) {
        return Err(ListErrorKind::NotJson.into());
    }
    Ok(())
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3).
///
/// The longest of several values wins. A number of seconds that overflows is the maximum: the
/// caller caps it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(header::RETRY_AFTER).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.filter_map(|value| longest_delay(value, now)).max()
}

/// The longest delay in one field line, which is one value or a list. A date contains a comma.
fn longest_delay(line: &str, now: SystemTime) -> Option<Duration> {
    let members: Vec<_> = line.split(',').map(str::trim).collect();
    let delay = |at: usize| {
        let member = members[at];
        let date = || match members.get(at + 1) {
            Some(rest) => httpdate::parse_http_date(&format!("{member}, {rest}")).ok(),
            None => None,
        };
        let date = httpdate::parse_http_date(member).ok().or_else(date);
        let until = |date: SystemTime| date.duration_since(now).unwrap_or_default();
        seconds(member).or_else(|| date.map(until))
    };
    (0..members.len()).filter_map(delay).max()
}

/// Parses `delay-seconds`. A number that overflows is the maximum.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_in_both_forms() {
        const MAX: Option<u64> = Some(u64::MAX);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (header_values, expected) in [
            (&["120"][..], Some(120)),
            (&[" 7 "], Some(7)),
            (&["Sun, 06 Nov 1994 08:49:37 GMT"], Some(10)),
            (&["Sunday, 06-Nov-94 08:49:37 GMT"], Some(10)),
            (&["Sun Nov  6 08:49:37 1994"], Some(10)),
            (&["Sun, 06 Nov 1994 08:49:07 GMT"], Some(0)),
            // Regressions: too many digits, a list and several lines were ignored.
            (&["18446744073709551615"], MAX),
            (&["18446744073709551616"], MAX),
            (&["99999999999999999999999999"], MAX),
            (&["5, 120, 7"], Some(120)),
            (&["5", "120", "7"], Some(120)),
            (&["soon, 5"], Some(5)),
            (&["5, Sun, 06 Nov 1994 08:49:37 GMT, 7"], Some(10)),
            (&["Sun, 06 Nov 1994 08:49:37 GMT, 20"], Some(20)),
            (&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(252_618_189_032)),
            (&[""], None),
            (&[","], None),
            (&["soon"], None),
            (&["-1"], None),
            (&["+1"], None),
            (&["1.5"], None),
        ] {
            let header_values = header_values
                .iter()
                .map(|line| HeaderValue::from_static(line));
            let mut headers = HeaderMap::new();
            for line in header_values {
                headers.append(header::RETRY_AFTER, line);
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{headers:?}");
        }
    }
}
