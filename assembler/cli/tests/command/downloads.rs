//! Sources that are wrong, gone, broken off or stalled.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use stagex_tree::Digest;

use crate::support::{Project, Running, eventually, run, source, source_from};

/// A package of one file.
const COPY: &str = "FROM scratch\nADD fetch/data.bin /\n";

/// Answers each request with what `answer` writes; gives the address and the count of requests.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            counted.fetch_add(1, Ordering::SeqCst);
            answer(&String::from_utf8_lossy(&head).to_lowercase(), &mut stream);
        }
    });
    (address, count)
}

fn head(len: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nAccept-Ranges: bytes\r\n\r\n")
}

fn partial(from: usize, len: usize) -> String {
    let (left, last) = (len - from, len - 1);
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {left}\r\n\
         Content-Range: bytes {from}-{last}/{len}\r\n\r\n"
    )
}

#[test]
fn a_wrong_digest_is_a_mismatch_and_leaves_nothing() {
    let project = Project::new();
    fs::write(project.mirror.join("data.bin"), "not what was promised").unwrap();
    project.package("app", &source("data", "data.bin", b"as promised"), COPY);
    let expected = Digest::of(b"as promised").hex();
    let found = Digest::of(b"not what was promised").hex();
    let place = format!("file://{}/data.bin", project.mirror.display());
    for arguments in [&["build", "core-app"][..], &["fetch"]] {
        project.stagex(arguments.iter().copied()).code(3).says(&[
            "cannot fetch data.bin",
            &place,
            &format!("expected {expected}"),
            &format!("found {found}"),
        ]);
        // Only the base's own source may have come.
        let cached = project.cached_sources();
        assert!(cached.iter().all(|path| !path.contains(&expected)), "{cached:?}");
        assert!(cached.iter().all(|path| !path.contains(&found)), "{cached:?}");
    }
    assert!(!project.root.join("out/core-app").exists());
    fs::write(project.mirror.join("data.bin"), "as promised").unwrap();
    project.stagex(["build", "core-app"]).code(0);
}

#[test]
fn without_the_network_a_source_comes_from_a_folder() {
    let project = Project::new();
    let address = "https://no.invalid/data.bin";
    project.package("app", &source_from("data", "data.bin", b"bytes", address), COPY);
    let ended = project.stagex(["--offline", "build", "core-app"]).code(1);
    ended.says(&["cannot fetch data.bin", &Digest::of(b"bytes").hex(), "--offline", "--sources"]);
    let folder = project.folder().join("stick");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data.bin"), "bytes").unwrap();
    let folder = folder.to_str().unwrap();
    project.stagex(["--offline", "--sources", folder, "build", "core-app"]).code(0);
    assert_eq!(fs::read(project.unpacked("core-app").join("data.bin")).unwrap(), b"bytes");
    // And with the folder gone: the store knows the step.
    project.stagex(["--offline", "build", "core-app"]).code(0);
    project.stagex(["--sources", "/nowhere", "build", "core-app"]).code(2).says(&["/nowhere"]);
}

#[test]
fn fetch_brings_what_lies_in_a_folder_into_the_cache_too() {
    let project = Project::new();
    let address = "https://no.invalid/data.bin";
    project.package("app", &source_from("data", "data.bin", b"bytes", address), COPY);
    let stick = project.folder().join("stick");
    fs::create_dir(&stick).unwrap();
    fs::write(stick.join("data.bin"), "something else").unwrap();
    let fetch = || {
        let mut command = project.command(["--offline", "fetch"]);
        run(command.env("STAGEX_SOURCES", &stick))
    };
    let wanted = Digest::of(b"bytes").hex();
    fetch().code(3).says(&["cannot fetch data.bin", "data.bin: "]);
    assert!(project.cached_sources().iter().all(|path| !path.ends_with(&wanted)));
    fs::write(stick.join("data.bin"), "bytes").unwrap();
    let ended = fetch().code(0);
    assert_eq!(ended.stdout, "2 sources are in the cache, 1 of them new\n");
    let found: Vec<String> = project.cached_sources();
    assert_eq!(found.iter().filter(|path| path.ends_with(&wanted)).count(), 1, "{found:?}");
    assert_eq!(fetch().code(0).stdout, "2 sources are in the cache, 0 of them new\n");

    // The cache is carried elsewhere; the mirror and the stick are not.
    let carried = project.folder().join("carried");
    fs::rename(&project.cache, &carried).unwrap();
    for folder in [&stick, &project.mirror] {
        fs::remove_dir_all(folder).unwrap();
    }
    let sources = carried.join("sources");
    for folder in [&carried, &sources] {
        let folder = folder.to_str().unwrap();
        let built = project.stagex(["--offline", "--sources", folder, "build", "core-app"]).code(0);
        assert!(built.stdout.ends_with("core-app\n"));
        // A build reads them where they lie.
        assert_eq!(project.cached_sources(), Vec::<String>::new());
        fs::remove_dir_all(&project.cache).unwrap();
    }
}

#[test]
fn a_mirror_that_is_gone_is_passed_over() {
    let project = Project::new();
    let (address, count) = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let gone = format!("{address}/data.bin");
    let toml = source_from("data", "data.bin", b"bytes", &gone);
    project.package("app", &toml, COPY);
    project.stagex(["build", "core-app"]).code(1).says(&[&gone, "404", "help: "]);
    let toml = toml.replace("\"]", "\", \"local:data.bin\"]");
    project.package("app", &toml, COPY);
    fs::write(project.mirror.join("data.bin"), "bytes").unwrap();
    project.stagex(["build", "core-app"]).code(0).says(&[&gone, "404"]);
    assert!(count.load(Ordering::SeqCst) >= 2);
}

#[test]
fn a_download_that_breaks_off_is_resumed_by_the_next_run() {
    let project = Project::new();
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let sent = bytes.clone();
    let whole = Arc::new(AtomicUsize::new(0));
    let allowed = Arc::clone(&whole);
    let (address, _) = serve(move |request, stream| {
        let from = request.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let result = if allowed.load(Ordering::SeqCst) == 0 {
            // It never gets further than 70,000 bytes.
            let end = from.max(70_000);
            let head = if from == 0 { head(sent.len()) } else { partial(from, sent.len()) };
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&sent[from..end]))
        } else {
            assert!(from >= 60_000, "what is there is not asked for again: {request}");
            let head = partial(from, sent.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&sent[from..]))
        };
        // The client may have gone.
        drop(result);
    });
    let toml = source_from("data", "data.bin", &bytes, &format!("{address}/data.bin"));
    project.package("app", &toml, COPY);
    project.stagex(["build", "core-app"]).code(1).says(&["broke off"]);
    assert!(
        project
            .cached_sources()
            .iter()
            .all(|path| !path.contains(&Digest::of(&bytes).hex()) || path.starts_with("partial/"))
    );
    whole.store(1, Ordering::SeqCst);
    project.stagex(["build", "core-app"]).code(0);
    assert_eq!(fs::read(project.unpacked("core-app").join("data.bin")).unwrap(), bytes);
}

#[test]
fn a_stalled_download_ends_at_once_on_ctrl_c() {
    let project = Project::new();
    let (address, count) = serve(|_, stream| {
        stream.write_all(head(1000).as_bytes()).unwrap();
        stream.write_all(&[0; 500]).unwrap();
        let stream = stream.try_clone().unwrap();
        // Kept open, and silent.
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(300));
            drop(stream);
        });
    });
    let toml = source_from("data", "data.bin", &[0; 1000], &format!("{address}/data.bin"));
    project.package("app", &toml, COPY);
    for arguments in [&["build", "core-app"][..], &["fetch", "core-app"]] {
        let before = count.load(Ordering::SeqCst);
        let running = Running::start(&mut project.command(arguments.iter().copied()));
        eventually("the request", || (count.load(Ordering::SeqCst) > before).then_some(()));
        std::thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        running.signal(Signal::INT);
        running.wait().code(130).says(&["stopped"]);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[test]
fn add_with_a_checksum() {
    let project = Project::new();
    let (address, _) = serve(|_, stream| {
        stream.write_all(head(5).as_bytes()).unwrap();
        stream.write_all(b"bytes").unwrap();
    });
    let add = |digest: &str| {
        let text = format!("FROM scratch\nADD --checksum=sha256:{digest} {address}/f /dir/\n");
        project.package("app", "", &text);
    };
    add(&Digest::of(b"others").hex());
    project.stagex(["build", "core-app"]).code(3).says(&["wrong digest", &address]);
    add(&Digest::of(b"bytes").hex());
    project.stagex(["build", "core-app"]).code(0);
    assert_eq!(fs::read(project.unpacked("core-app").join("dir/f")).unwrap(), b"bytes");
    project.package("app", "", &format!("FROM scratch\nADD {address}/f /dir/\n"));
    project.stagex(["build", "core-app"]).code(2).says(&["Containerfile:2:5", "--checksum=sha256"]);
}
