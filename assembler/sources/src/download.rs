//! One download from one address.

use std::{
    fs::File,
    io::{self, Read},
    time::Duration,
};

use crate::Cause;

/// An answer whose body can be read.
pub(crate) struct Body {
    pub(crate) reader: Box<dyn Read + Send>,
    /// Bytes of the whole file, where known.
    pub(crate) total: Option<u64>,
    /// Where in the file the body begins: the offset asked for, or 0 where the server does not
    /// resume.
    pub(crate) start: u64,
}

/// Opens addresses: `http`, `https`, `file` and plain folders' paths.
pub(crate) struct Client {
    agent: ureq::Agent,
}

impl Client {
    /// A client that gives up on a connection after `connect` without an answer, and on a body
    /// after `stall` without a byte.
    pub(crate) fn new(connect: Duration, stall: Duration) -> Self {
        let agent = ureq::AgentBuilder::new()
            .timeout_connect(connect)
            .timeout_read(stall)
            .timeout_write(stall)
            .try_proxy_from_env(true)
            .user_agent("stagex")
            .build();
        Self { agent }
    }

    /// Opens `url` from byte `offset` on.
    pub(crate) fn open(&self, url: &str, offset: u64) -> Result<Body, Cause> {
        if let Some(path) = url.strip_prefix("file://").or(url.starts_with('/').then_some(url)) {
            return open_file(path);
        }
        // Asked for as it is: a server that compresses in transit would change the bytes.
        let mut request = self.agent.get(url).set("Accept-Encoding", "identity");
        if offset != 0 {
            request = request.set("Range", &format!("bytes={offset}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            // The partial file is as long as the whole, or longer: begin anew.
            Err(ureq::Error::Status(416, _)) if offset != 0 => return self.open(url, 0),
            Err(ureq::Error::Status(status, _)) => return Err(Cause::Status { status }),
            Err(ureq::Error::Transport(error)) => {
                return Err(Cause::Connection { message: plain(&error) });
            }
        };
        let length = response.header("Content-Length").and_then(|text| text.parse::<u64>().ok());
        let resumed = response.status() == 206
            && response
                .header("Content-Range")
                .is_some_and(|range| range.starts_with(&format!("bytes {offset}-")));
        if response.status() == 206 && !resumed {
            return Err(Cause::Connection {
                message: "the server answered with another range than was asked for".to_owned(),
            });
        }
        let start = if resumed { offset } else { 0 };
        let total = length.and_then(|length| length.checked_add(start));
        Ok(Body { reader: Box::new(response.into_reader()), total, start })
    }
}

fn open_file(path: &str) -> Result<Body, Cause> {
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((file, metadata.len()))
    };
    let (file, len) = open().map_err(|error| Cause::Io { error })?;
    Ok(Body { reader: Box::new(file), total: Some(len), start: 0 })
}

/// A transport error without the address, which the caller names.
fn plain(error: &ureq::Transport) -> String {
    let mut text = error.kind().to_string();
    let mut source = std::error::Error::source(error);
    if source.is_none() {
        if let Some(message) = error.message() {
            text = format!("{text}: {message}");
        }
    }
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
