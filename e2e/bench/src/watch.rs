//! Events of the API as they come, each with its time.

use std::time::Instant;

use futures::io::AsyncBufReadExt;
use futures::{AsyncBufRead, pin_mut};
use lab::{Lab, Result};
use serde::Deserialize;

/// Longer than any run, and bookmarks keep the connection busy.
const WATCH: &str = "?watch=true&allowWatchBookmarks=true&timeoutSeconds=36000";

/// A line of a watch.
#[derive(Deserialize)]
pub(crate) struct Event<'a> {
    /// `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`.
    #[serde(rename = "type", borrow)]
    pub(crate) kind: &'a str,
    #[serde(borrow)]
    pub(crate) object: &'a serde_json::value::RawValue,
}

/// Begins to watch all objects at a path such as `/api/v1/services`. `take_in` is given each line and when it came;
/// `ended` is told once why there will be no more.
pub(crate) async fn start(
    lab: &Lab,
    path: &str,
    take_in: impl FnMut(&[u8], Instant) -> serde_json::Result<()> + Send + 'static,
    ended: impl FnOnce(String) + Send + 'static,
) -> Result<()> {
    let path = format!("{path}{WATCH}");
    let request = http::Request::get(&path)
        .body(Vec::new())
        .map_err(|error| lab::Error::Invalid(format!("asking for {path}: {error}")))?;
    let lines = lab.api().request_stream(request).await?;
    tokio::spawn(async move { ended(follow(lines, take_in).await) });
    Ok(())
}

/// Takes in events until there are no more, and says why.
async fn follow(
    lines: impl AsyncBufRead,
    mut take_in: impl FnMut(&[u8], Instant) -> serde_json::Result<()>,
) -> String {
    pin_mut!(lines);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line).await {
            Ok(0) => return "the API server ended it".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        if let Err(error) = take_in(&line, Instant::now()) {
            return format!("an event cannot be read: {error}");
        }
    }
}
