//! Fetching from a server that misbehaves in every way servers do.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use stagex_sources::{Cause, Error, Fetcher, GitClone, Observer, Options, Quiet, Request};
use stagex_tree::Digest;

/// A server that answers by path:
/// `/good/…` serves the bytes and resumes, `/noresume/…` serves them without ranges, `/short/…`
/// ends halfway, `/stall/…` stops halfway without closing, `/wrong/…` serves other bytes,
/// `/busy/…` answers 503 twice, all else 404.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let busy = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, busy) = (Arc::clone(&log), Arc::clone(&busy));
                thread::spawn(move || answer(stream.unwrap(), &log, &busy));
            }
        });
        Self { base, requests }
    }

    fn url(&self, kind: &str) -> String {
        format!("{}/{kind}/file.tar", self.base)
    }
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>, busy: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let from: usize = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned))
        .map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    log.lock().unwrap().push(format!("{path} {from}"));
    let body = body();
    let kind = path.split('/').nth(1).unwrap();
    let (from, end) = match kind {
        "good" => (from, body.len()),
        "noresume" => (0, body.len()),
        "short" | "stall" => (from, from + (body.len() - from) / 2),
        "busy" if busy.fetch_add(1, Ordering::SeqCst) >= 2 => (0, body.len()),
        "busy" => {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        "wrong" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            return;
        }
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            return;
        }
    };
    let length = body.len() - from;
    let head = if from == 0 {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
    } else {
        let (last, all) = (body.len() - 1, body.len());
        format!(
            "HTTP/1.1 206 Partial\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {from}-{last}/{all}\r\n\r\n"
        )
    };
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[from..end]);
    if kind == "stall" {
        thread::sleep(Duration::from_secs(20));
    }
}

fn options(folder: &Path) -> Options {
    Options {
        stall_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(500),
        ..Options::new(folder.join("cache"))
    }
}

fn request(mirrors: &[String]) -> Request {
    Request { file: "file.tar".to_owned(), digest: Digest::of(body()), mirrors: mirrors.to_vec() }
}

fn run(options: Options, request: &Request) -> Result<std::path::PathBuf, Error> {
    Fetcher::new(options).fetch_one(request, &Quiet, &AtomicBool::new(false))
}

fn partials(folder: &Path) -> usize {
    fs::read_dir(folder.join("cache/partial")).map_or(0, Iterator::count)
}

#[test]
fn brings_a_file_once_and_then_finds_it() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let request = request(&[server.url("good")]);
    let path = run(options(folder.path()), &request).unwrap();
    assert_eq!(fs::read(&path).unwrap(), body());
    run(options(folder.path()), &request).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    assert_eq!(partials(folder.path()), 0);
    // A damaged file in the cache is noticed and fetched anew.
    fs::write(&path, b"rot").unwrap();
    let path = run(options(folder.path()), &request).unwrap();
    assert_eq!(fs::read(path).unwrap(), body());
}

#[test]
fn a_wrong_file_names_mirror_and_digests_and_leaves_nothing() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let request = request(&[server.url("wrong"), server.url("gone")]);
    let error = run(options(folder.path()), &request).unwrap_err();
    assert!(error.is_mismatch());
    let text = error.to_string();
    for part in [
        server.url("wrong"),
        format!("expected {}", request.digest),
        format!("found {}", Digest::of("hello")),
        format!("{}: the server answered 404", server.url("gone")),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
    assert_eq!(partials(folder.path()), 0);
    assert!(!folder.path().join("cache").join(&request.digest.hex()[..2]).exists());
}

#[test]
fn the_next_mirror_is_tried_after_a_bad_one() {
    for bad in ["wrong", "gone", "stall", "short"] {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let request = request(&[server.url(bad), server.url("noresume")]);
        let path = run(options(folder.path()), &request).unwrap();
        assert_eq!(fs::read(path).unwrap(), body(), "{bad}");
    }
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    for kind in ["short", "stall"] {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let first = request(&[server.url(kind)]);
        let text = run(options(folder.path()), &first).unwrap_err().to_string();
        assert!(text.contains("broke off") || text.contains("stalled"), "{text}");
        assert_eq!(partials(folder.path()), 1, "the part is kept");
        let path = run(options(folder.path()), &request(&[server.url("good")])).unwrap();
        assert_eq!(fs::read(path).unwrap(), body());
        let requests = server.requests.lock().unwrap();
        let offsets: Vec<usize> =
            requests.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    run(options(folder.path()), &request(&[server.url("busy")])).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[test]
fn a_mirror_that_is_gone_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/x");
    let error = run(options(folder.path()), &request(std::slice::from_ref(&url))).unwrap_err();
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!error.is_mismatch());
}

#[test]
fn offline_uses_folders_and_never_the_network() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let offline = Options { offline: true, ..options(folder.path()) };
    let wanted = request(&[server.url("good"), "debian:pool/f/file_1.tar".to_owned()]);
    let text = run(offline.clone(), &wanted).unwrap_err().to_string();
    assert!(text.contains("--offline") && text.contains("scheme 'debian:'"), "{text}");

    let local = folder.path().join("local");
    fs::create_dir_all(local.join("pool/f")).unwrap();
    fs::write(local.join("file.tar"), b"another file of that name").unwrap();
    fs::write(local.join("pool/f/file_1.tar"), body()).unwrap();
    let with_folder = Options { local: vec![local.clone()], ..offline.clone() };
    assert_eq!(run(with_folder, &wanted).unwrap(), local.join("pool/f/file_1.tar"));

    let mirrors =
        BTreeMap::from([("debian".to_owned(), vec![format!("file://{}", local.display())])]);
    let path = run(Options { mirrors, ..offline }, &wanted).unwrap();
    assert_eq!(fs::read(path).unwrap(), body());
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn what_lies_in_a_folder_is_copied_where_that_is_asked_for() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let local = folder.path().join("local");
    fs::create_dir(&local).unwrap();
    fs::write(local.join("file.tar"), body()).unwrap();
    let gather = Options { local: vec![local.clone()], copy_local: true, ..options(folder.path()) };
    let wanted = request(&[server.url("good")]);
    // What a download left of it is no hindrance.
    let partial = folder.path().join("cache/partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join(wanted.digest.hex()), b"a part").unwrap();
    let path = run(gather.clone(), &wanted).unwrap();
    assert!(path.starts_with(folder.path().join("cache")), "{path:?}");
    assert_eq!(fs::read(&path).unwrap(), body());
    assert_eq!(partials(folder.path()), 0);
    assert!(server.requests.lock().unwrap().is_empty());
    // The sources of another cache are such a folder, and so is that cache.
    let carried = folder.path().join("carried");
    fs::create_dir(&carried).unwrap();
    fs::rename(folder.path().join("cache"), carried.join("sources")).unwrap();
    for (number, local) in [carried.join("sources"), carried].into_iter().enumerate() {
        let cache = folder.path().join(number.to_string());
        let options = Options { cache: cache.clone(), local: vec![local], ..gather.clone() };
        let copied = run(options, &wanted).unwrap();
        assert!(copied.starts_with(&cache), "{copied:?}");
        assert_eq!(fs::read(copied).unwrap(), body());
    }
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn a_git_clone_stands_for_its_forge() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&work)
            .args(["-c", "user.name=n", "-c", "user.email=e@example"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    fs::create_dir(&work).unwrap();
    git(&["init", "-q"]);
    fs::write(work.join("a"), "text").unwrap();
    git(&["add", "a"]);
    git(&["commit", "-qm", "one"]);
    let commit = String::from_utf8(git(&["rev-parse", "HEAD"])).unwrap().trim().to_owned();
    let prefix = format!("--prefix=tool-{commit}/");
    let expected = git(&["archive", "--format=tar.gz", &prefix, &commit]);

    let url = "https://forge.invalid/owner/tool".to_owned();
    let clones = vec![GitClone { url: url.clone(), path: work.clone() }];
    let offline = Options { offline: true, clones, ..options(folder.path()) };
    let wanted = Request {
        file: "tool.tar.gz".to_owned(),
        digest: Digest::of(&expected),
        mirrors: vec![format!("{url}/archive/{commit}.tar.gz")],
    };
    assert_eq!(fs::read(run(offline.clone(), &wanted).unwrap()).unwrap(), expected);

    let missing = Request {
        digest: Digest::of("x"),
        mirrors: vec![format!("{url}/archive/00.tar.gz")],
        ..wanted
    };
    let text = run(offline, &missing).unwrap_err().to_string();
    assert!(text.contains("git archive failed"), "{text}");
}

#[test]
fn two_at_once_download_once() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let wanted = request(&[server.url("good")]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run(options(folder.path()), &wanted).unwrap());
        }
    });
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[test]
fn all_failures_are_reported_together() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let requests = [
        request(&[server.url("good")]),
        Request { digest: Digest::of("1"), ..request(&[server.url("gone")]) },
        Request { digest: Digest::of("2"), ..request(&[]) },
    ];
    let errors = Fetcher::new(options(folder.path()))
        .fetch(&requests, &Quiet, &AtomicBool::new(false))
        .unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors[1].to_string().contains("names no mirror"), "{}", errors[1]);
    let paths = Fetcher::new(options(folder.path()))
        .fetch(&requests[..1], &Quiet, &AtomicBool::new(false))
        .unwrap();
    assert_eq!(paths.len(), 1);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cache"), b"a file where a folder should be").unwrap();
    let error = run(options(folder.path()), &request(&[])).unwrap_err();
    assert!(matches!(error, Error::Cache { .. }), "{error}");
    assert!(error.to_string().contains("cache"), "{error}");
}

#[test]
fn a_download_stopped_before_its_first_byte_leaves_nothing() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let wanted = request(&[server.url("good")]);
    let fetcher = Fetcher::new(options(folder.path()));
    let error = fetcher.fetch_one(&wanted, &Quiet, &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(partials(folder.path()), 0);
}

#[test]
fn a_stopped_download_is_kept_for_later() {
    struct StopHalfway<'a>(&'a AtomicBool);
    impl Observer for StopHalfway<'_> {
        fn advanced(&self, _: &str, len: u64, total: Option<u64>) {
            if total.is_some_and(|total| len > total / 4) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        fn failed_place(&self, _: &str, attempt: &stagex_sources::Attempt) {
            assert!(!matches!(attempt.cause, Cause::Mismatch { .. }));
        }
        fn finished(&self, _: &str, _: bool) {}
    }
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let cancel = AtomicBool::new(false);
    let wanted = request(&[server.url("good")]);
    let fetcher = Fetcher::new(options(folder.path()));
    let error = fetcher.fetch_one(&wanted, &StopHalfway(&cancel), &cancel).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(partials(folder.path()), 1);
    let path = run(options(folder.path()), &wanted).unwrap();
    assert_eq!(fs::read(path).unwrap(), body());
}
