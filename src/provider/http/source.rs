//! `HttpSource`: a list asked for page by page, to its end or not at all.

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

/// An HTTP service, and what to ask it.
pub(super) struct HttpSource(pub(super) Arc<Inner>);

pub(super) struct Inner {
    /// The provider's name and address, for the log and the status.
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
    fn list(&self, asked: ListModels) -> ListFuture {
        let asking = Arc::clone(&self.0);
        Box::pin(async move { asking.list(asked).await })
    }

    fn address(&self) -> Option<&str> {
        Some(&self.0.address)
    }
}

/// What came for one page.
struct Received {
    headers: HeaderMap,
    body: Bytes,
    /// What the validators in the headers are bound to.
    bound_to: u128,
}

impl Inner {
    async fn list(&self, asked: ListModels) -> Result<SourceResponse, ListError> {
        tracing::debug!(
            provider = &*self.provider,
            address = self.address,
            "fetching the list of models"
        );
        let mut pages = Pages::default();
        let mut dialect = self.dialect.clone();
        let mut uri = self.uri.clone();
        let mut seen = HashSet::new();
        let mut bytes = asked.bounds.body;
        let mut validator = None;
        loop {
            if seen.len() == asked.bounds.pages {
                return Err(ListErrorKind::TooManyPages.into());
            }
            if !seen.insert(uri.to_string()) {
                return Err(ListErrorKind::PageLoop.into());
            }
            let known = asked.validator.as_ref().filter(|_| seen.len() == 1);
            let answered = self.ask(&uri, bytes, &asked, known).await;
            let answered = answered.map_err(|error| error.after_pages(seen.len() - 1));
            let Some(received) = answered? else {
                return Ok(SourceResponse::Unchanged);
            };
            let Received {
                headers,
                body,
                bound_to,
            } = received;
            bytes -= body.len();
            let room = asked.bounds.models - pages.models();
            let mut page = self.read(dialect.clone(), body, room).await?;
            if let (Dialect::Auto, Some(found)) = (&dialect, page.found.take()) {
                dialect = found; // the pages of one list are of one dialect
            }
            let goes_on = page.next.take();
            pages.push(page);
            if pages.models() > asked.bounds.models {
                return Err(ListErrorKind::TooManyModels.into());
            }
            let Some(goes_on) = goes_on else {
                // A validator of one page says nothing of the others.
                if seen.len() == 1 {
                    validator = Validator::of(&headers, bound_to, clock::wall());
                }
                let list = pages.into_list().with_dialect(dialect.name());
                return Ok(SourceResponse::List(list, validator));
            };
            uri = match goes_on {
                NextPage::Query(set) => next::by_query(&uri, &set)?,
                NextPage::Link(link) => next::by_link(&uri, &link)?,
                NextPage::Unknown => return Err(ListErrorKind::NextPage.into()),
            };
        }
    }

    /// Asks for one page; `None`: the list is still that of the validator. A credential
    /// that is refused is fetched anew, once.
    async fn ask(
        &self,
        uri: &Uri,
        most: usize,
        asked: &ListModels,
        known: Option<&Validator>,
    ) -> Result<Option<Received>, ListError> {
        let answered = self.send(uri, most, asked, known).await;
        if !self.forgets(&answered) {
            return answered;
        }
        let answered = self.send(uri, most, asked, known).await;
        self.forgets(&answered);
        answered
    }

    /// Forgets a credential that this answer refuses. `false`: it does not, or there is
    /// none to be had anew.
    fn forgets<T>(&self, answered: &Result<T, ListError>) -> bool {
        let status = match answered.as_ref().map_err(ListError::kind) {
            Err(ListErrorKind::Status(status)) => status,
            _ => return false,
        };
        let refused = |authorize: &&Arc<dyn Authorize>| authorize.is_refused(status);
        let authorize = self.authorize.as_ref().filter(refused);
        authorize.is_some_and(|authorize| authorize.forget())
    }

    async fn send(
        &self,
        uri: &Uri,
        most: usize,
        asked: &ListModels,
        known: Option<&Validator>,
    ) -> Result<Option<Received>, ListError> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(authorize) = &self.authorize {
            authorize.authorize(&mut request).await?;
        }
        let bound_to = binding(uri, request.headers());
        let known = known.filter(|known| known.holds_for(bound_to));
        if let Some(known) = known {
            known.set(request.headers_mut());
        }
        let answer = self.transport.send(request, most);
        let answer = clock::within(asked.headers_timeout, answer)
            .await
            .ok_or(ListErrorKind::Timeout)??;
        let (head, body) = answer.into_parts();
        if head.status == StatusCode::NOT_MODIFIED && known.is_some() {
            return Ok(None);
        }
        check_head(&head)?;
        Ok(Some(Received {
            headers: head.headers,
            body: body.await?,
            bound_to,
        }))
    }

    /// Reads a page with room for so many models, off the async workers when it is large.
    async fn read(
        &self,
        dialect: Dialect,
        body: Bytes,
        room: usize,
    ) -> Result<ModelPage, ListError> {
        let rules = Rules {
            records: room.saturating_mul(2).saturating_add(FLAWED),
            ..self.rules
        };
        compute(body.len(), move || dialect.read_page(&body, &rules)).await
    }
}

/// How many records of a page may be no models, beside a copy of them all in another
/// list, before it is given up as too long.
const FLAWED: usize = 1000;

/// Checks status and headers before a byte of the body is read.
///
/// Of the successes only 200 and 203 (RFC 9110, sections 15.3.1 and 15.3.4) have the whole
/// list as their content: a 206 has a part of it, and the others have something else.
fn check_head(head: &response::Parts) -> Result<(), ListError> {
    const WHOLE: [StatusCode; 2] = [StatusCode::OK, StatusCode::NON_AUTHORITATIVE_INFORMATION];
    if !WHOLE.contains(&head.status) {
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
    // A page of a login form or of a bot wall, under a status of success.
    if value(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
    }) {
        return Err(ListErrorKind::NotJson.into());
    }
    Ok(())
}

/// `Retry-After` in either of its forms (RFC 9110, section 10.2.3). Of several values the
/// longest counts, and a number of seconds that does not fit is as long as possible: whoever
/// calls caps it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(header::RETRY_AFTER).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.filter_map(|value| longest_delay(value, now)).max()
}

/// The longest of the delays in one line, which is one value or a list of them. A date has a
/// comma itself.
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

/// `delay-seconds`: digits, of which there may be more than fit.
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
    fn retry_after_is_read_in_both_forms() {
        const MOST: Option<u64> = Some(u64::MAX);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (header_values, expected) in [
            (&["120"][..], Some(120)),
            (&[" 7 "], Some(7)),
            (&["Sun, 06 Nov 1994 08:49:37 GMT"], Some(10)),
            (&["Sunday, 06-Nov-94 08:49:37 GMT"], Some(10)),
            (&["Sun Nov  6 08:49:37 1994"], Some(10)),
            (&["Sun, 06 Nov 1994 08:49:07 GMT"], Some(0)),
            // Regressions: too many digits, a list and several lines counted as none.
            (&["18446744073709551615"], MOST),
            (&["18446744073709551616"], MOST),
            (&["99999999999999999999999999"], MOST),
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
