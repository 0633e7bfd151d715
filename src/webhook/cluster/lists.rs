//! Lists objects of the API server, page by page and item by item.

use super::list_scanner::{ListScanner, MalformedList, ScannedItem};
use crate::inject::size::json_value_bound;
use crate::limits;
use crate::net::yield_now;
use crate::webhook::api_client::{ApiClient, ApiError, unexpected_status};
use crate::webhook::stream_io::timeout_at;
use core::fmt::Write;
use serde_json::Value;
use std::time::Instant;

/// Why a list is incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The API server forbids it: the permission is not granted.
    Forbidden(ApiError),
    /// Any other error.
    Failed(ApiError),
}

/// An item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListItem {
    /// The object. It has neither `kind` nor `apiVersion`.
    pub object: Value,
    /// An upper bound of the number of its JSON values.
    pub values: usize,
}

/// Calls `observe` with each item of a collection. `query` is empty or a percent-encoded query such as `fieldSelector=a%3Db`.
/// Other tasks run after each item. Items that are too large for a review are left out.
///
/// # Errors
/// The first page that cannot be read; the items before it have been observed.
pub async fn list(
    client: &ApiClient,
    collection: &str,
    query: &str,
    mut observe: impl FnMut(ListItem),
) -> Result<(), ListError> {
    let mut token = None;
    for _ in 0..limits::LIST_PAGES {
        let path = page_path(collection, query, token.as_deref());
        let deadline = Instant::now() + limits::LIST_PAGE_TIMEOUT;
        let page = timeout_at(deadline, list_page(client, &path, &mut observe)).await;
        token = page.unwrap_or_else(|| {
            let seconds = limits::LIST_PAGE_TIMEOUT.as_secs();
            let why = format!("GET {collection}: no complete response within {seconds} s");
            Err(ListError::Failed(client.describe(&ApiError(why.into()))))
        })?;
        if token.is_none() {
            return Ok(());
        }
    }
    let most = limits::LIST_PAGES * limits::LIST_PAGE_ITEMS;
    let why = format!("GET {collection}: more than {most} items");
    Err(ListError::Failed(ApiError(why.into())))
}

/// Lists one page. Returns the token of the next one.
async fn list_page(
    client: &ApiClient,
    path: &str,
    observe: &mut impl FnMut(ListItem),
) -> Result<Option<Box<str>>, ListError> {
    let mut response = client.open(path).await.map_err(ListError::Failed)?;
    let failed = |why: &ApiError| ListError::Failed(client.describe(why));
    let status = response.status();
    if status != 200 {
        let body = response.read_json().await.unwrap_or_default();
        // The token of a page differs each time, and would make each error a new one.
        let path = path.split("&continue=").next().unwrap_or_default();
        let error = unexpected_status("GET", path, status, &body);
        return Err(match status {
            403 => ListError::Forbidden(error),
            _ => ListError::Failed(error),
        });
    }
    let malformed = |_: MalformedList| {
        failed(&ApiError(
            "the response is not a complete List in JSON".into(),
        ))
    };
    let (mut scanner, mut bytes) = (ListScanner::default(), Vec::new());
    loop {
        response
            .read(&mut bytes)
            .await
            .map_err(|why| failed(&why))?;
        if bytes.is_empty() {
            return scanner.finish().map_err(malformed);
        }
        // A fast API server must not keep the only thread.
        yield_now().await;
        let mut unread = &bytes[..];
        while !unread.is_empty() {
            let (used, item) = scanner.feed(unread).map_err(malformed)?;
            unread = &unread[used..];
            let Some(ScannedItem::Complete(json)) = item else {
                continue;
            };
            let values = json_value_bound(json);
            if values <= limits::REVIEW_VALUES
                && let Ok(object) = serde_json::from_slice(json)
            {
                observe(ListItem { object, values });
            }
            yield_now().await;
        }
    }
}

fn page_path(collection: &str, query: &str, token: Option<&str>) -> String {
    let mut path = format!("{collection}?limit={}", limits::LIST_PAGE_ITEMS);
    if !query.is_empty() {
        path.extend(["&", query]);
    }
    if let Some(token) = token {
        path.push_str("&continue=");
        for byte in token.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    path.push(char::from(byte));
                }
                // RFC 3986 section 2.1. Writing to a string cannot fail.
                _ => drop(write!(path, "%{byte:02X}")),
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::page_path;

    #[test]
    fn the_path_of_a_page_has_its_query_and_its_token() {
        let pods = "/api/v1/pods";
        assert_eq!(page_path(pods, "", None), "/api/v1/pods?limit=500");
        assert_eq!(
            page_path(pods, "fieldSelector=a%3Db", Some("Ab-_9 =&")),
            "/api/v1/pods?limit=500&fieldSelector=a%3Db&continue=Ab-_9%20%3D%26"
        );
    }
}
