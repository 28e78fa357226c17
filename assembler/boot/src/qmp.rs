//! A client of the QEMU Machine Protocol (QEMU's docs/interop/qmp-spec).

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::QmpError;

/// How long a command may take: a save of a large screen under load, for one.
const COMMAND: Duration = Duration::from_secs(60);
/// The longest message that is read, in bytes.
const MAX_MESSAGE: u64 = 16 << 20;
/// How many events are kept for a caller that does not ask for them.
const MAX_EVENTS: usize = 4096;

/// A connection to a machine's monitor.
pub struct Qmp {
    stream: UnixStream,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    next_id: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    greeted: bool,
    answers: VecDeque<Value>,
    events: VecDeque<Value>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Qmp {
    /// Takes a fresh connection through the handshake.
    pub(crate) fn new(stream: UnixStream) -> Result<Self, QmpError> {
        let closed = |_: io::Error| QmpError::Closed { doing: "connecting".into() };
        let input = stream.try_clone().map_err(closed)?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let writer = Arc::clone(&shared);
        let reader = std::thread::Builder::new()
            .name("qmp".into())
            .spawn(move || {
                read_messages(input, &writer);
                writer.update(|state| state.closed = true);
            })
            .map_err(closed)?;
        let mut qmp = Self { stream, shared, reader: Some(reader), next_id: 0 };
        qmp.wait("waiting for its greeting", COMMAND, |state| state.greeted.then_some(()))?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives back what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let doing = format!("running {command}");
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        message.push('\n');
        self.stream
            .write_all(message.as_bytes())
            .map_err(|_| QmpError::Closed { doing: doing.clone() })?;
        let answer = self.wait(&doing, COMMAND, |state| {
            let index = state.answers.iter().position(|a| a["id"] == id)?;
            state.answers.remove(index)
        })?;
        match answer.get("error") {
            None => Ok(answer.get("return").cloned().unwrap_or(Value::Null)),
            Some(error) => Err(QmpError::Refused {
                command: command.to_owned(),
                description: error["desc"].as_str().unwrap_or("no reason given").to_owned(),
            }),
        }
    }

    /// Waits for an event that `wanted` accepts, among those that came and were not taken yet.
    ///
    /// The event's name is in `event`, what it says in `data`.
    pub fn wait_event(
        &mut self,
        name: &str,
        timeout: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, QmpError> {
        self.wait(&format!("waiting for the event {name}"), timeout, |state| {
            let is = |event: &Value| event["event"] == name && wanted(event);
            let index = state.events.iter().position(is)?;
            state.events.remove(index)
        })
    }

    /// Takes all events that came and were not taken yet.
    pub fn events(&mut self) -> Vec<Value> {
        self.shared.lock().events.drain(..).collect()
    }

    fn wait<T>(
        &self,
        doing: &str,
        timeout: Duration,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, QmpError> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if let Some(value) = take(&mut state) {
                return Ok(value);
            }
            let doing = || doing.to_owned();
            if state.closed {
                return Err(QmpError::Closed { doing: doing() });
            }
            let waited = start.elapsed();
            let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(QmpError::Timeout { doing: doing(), waited });
            };
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Sorts messages, one a line, into answers and events until the connection ends or breaks.
fn read_messages(input: UnixStream, shared: &Shared) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(MAX_MESSAGE).read_until(b'\n', &mut line) {
            Ok(n) if n > 0 && line.ends_with(b"\n") => {}
            _ => return,
        }
        let Ok(message) = serde_json::from_slice::<Value>(&line) else { return };
        shared.update(|state| {
            if message.get("QMP").is_some() {
                state.greeted = true;
            } else if message.get("event").is_some() {
                if state.events.len() == MAX_EVENTS {
                    state.events.pop_front();
                }
                state.events.push_back(message);
            } else {
                state.answers.push_back(message);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that answers by `answer` for each command.
    fn server(answer: impl Fn(&Value) -> Vec<String> + Send + 'static) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut writer = theirs.try_clone().unwrap();
            writer.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n").unwrap();
            for line in BufReader::new(theirs).lines() {
                let Ok(line) = line else { return };
                let command: Value = serde_json::from_str(&line).unwrap();
                for line in answer(&command) {
                    writer.write_all(format!("{line}\r\n").as_bytes()).unwrap();
                }
            }
        });
        ours
    }

    #[test]
    fn answers_and_events_are_kept_apart() {
        let mut qmp = Qmp::new(server(|command| {
            let id = &command["id"];
            match command["execute"].as_str().unwrap() {
                "device_del" => vec![
                    r#"{"event": "A", "data": {"n": 1}}"#.into(),
                    format!(r#"{{"return": {{"x": 7}}, "id": {id}}}"#),
                    r#"{"event": "A", "data": {"n": 2}}"#.into(),
                ],
                "bad" => vec![format!(r#"{{"id": {id}, "error": {{"desc": "no such thing"}}}}"#)],
                _ => vec![format!(r#"{{"return": {{}}, "id": {id}}}"#)],
            }
        }))
        .unwrap();
        assert_eq!(qmp.execute("device_del", json!({"id": "a"})).unwrap()["x"], 7);
        let error = qmp.execute("bad", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "bad was refused: no such thing");
        let second =
            qmp.wait_event("A", Duration::from_secs(20), |event| event["data"]["n"] == 2).unwrap();
        assert_eq!(second["data"]["n"], 2);
        assert_eq!(qmp.events().len(), 1);
        let error = qmp.wait_event("B", Duration::from_millis(20), |_| true).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_connection_that_breaks_or_babbles_is_an_error_at_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"{\"QMP\": {}}\nnot json\n").unwrap();
        let error = Qmp::new(ours).err().unwrap();
        assert!(matches!(error, QmpError::Closed { .. }), "{error}");
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Qmp::new(ours).is_err());
    }
}
