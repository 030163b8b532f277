//! Logs of containers: one file per run, lines as container runtimes write them (`TIME STREAM F|P text`).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// A run's log is cut when it is longer: the older half goes.
const LIMIT: u64 = 32 << 20;

/// The log of one run of a container.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Open>>);

struct Open {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Log {
    /// Starts the log of this run, and removes those before the previous one.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(dir: &Path, run: u32) -> std::io::Result<Log> {
        std::fs::create_dir_all(dir)?;
        if let Some(old) = run.checked_sub(2) {
            let _ = std::fs::remove_file(path(dir, old));
        }
        let path = path(dir, run);
        let file = File::create(&path)?;
        Ok(Log(Arc::new(Mutex::new(Open { path, file, length: 0 }))))
    }

    /// Writes what the container says, to its end.
    pub(super) async fn write(self, stream: &'static str, mut from: impl AsyncBufRead + Unpin) {
        loop {
            let Ok(buffer) = from.fill_buf().await else { return };
            if buffer.is_empty() {
                return;
            }
            let mut used = 0;
            let mut lines = String::new();
            while let Some(end) = buffer[used..].iter().position(|byte| *byte == b'\n') {
                line(&mut lines, stream, 'F', &buffer[used..used + end]);
                used += end + 1;
            }
            // Without a newline the rest goes out as a partial line: a reader need not wait for its end.
            if used == 0 {
                line(&mut lines, stream, 'P', buffer);
                used = buffer.len();
            }
            from.consume(used);
            self.append(lines.as_bytes());
        }
    }

    fn append(&self, bytes: &[u8]) {
        let mut open = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A full disk loses lines of a log, no more.
        let _ = open.file.write_all(bytes);
        open.length += bytes.len() as u64;
        if open.length > LIMIT {
            let _ = open.halve();
        }
    }
}

impl Open {
    fn halve(&mut self) -> std::io::Result<()> {
        let text = std::fs::read(&self.path)?;
        let middle = text.len() / 2;
        let start =
            text[middle..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| middle + at + 1);
        self.file = File::create(&self.path)?;
        self.file.write_all(&text[start..])?;
        self.length = (text.len() - start) as u64;
        Ok(())
    }
}

fn path(dir: &Path, run: u32) -> PathBuf {
    dir.join(format!("{run}.log"))
}

fn line(out: &mut String, stream: &str, end: char, text: &[u8]) {
    let now = Timestamp::now();
    out.push_str(&format!("{now:.9} {stream} {end} {}\n", String::from_utf8_lossy(text)));
}

/// Which part of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) since: Option<Timestamp>,
    pub(super) tail: Option<usize>,
    pub(super) timestamps: bool,
    pub(super) previous: bool,
    pub(super) follow: bool,
}

/// The file of the newest run, or of the one before.
pub(super) fn newest(dir: &Path, previous: bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let runs =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok());
    let mut runs: Vec<u32> = runs.collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs.get(usize::from(previous)).map(|run| path(dir, *run))
}

/// Reads whole lines from a position; gives the text and the new position. A file that was cut is read from its start.
///
/// # Errors
/// The disk's.
pub(super) fn read_from(file: &Path, position: u64) -> std::io::Result<(String, u64)> {
    let mut file = File::open(file)?;
    let position = if file.metadata()?.len() < position { 0 } else { position };
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let next = position + bytes.len() as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), next))
}

/// The wanted lines as `kubectl logs` shows them.
pub(super) fn select(text: &str, wanted: &Wanted) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| is_since(line, wanted.since)).collect();
    let skipped = wanted.tail.map_or(0, |tail| start_of_last(&lines, tail));
    let mut out = String::with_capacity(text.len());
    for line in &lines[skipped..] {
        let mut parts = line.splitn(4, ' ');
        let (time, end) = (parts.next().unwrap_or_default(), parts.nth(1));
        if wanted.timestamps {
            out.push_str(time);
            out.push(' ');
        }
        out.push_str(parts.next().unwrap_or_default());
        if end == Some("F") {
            out.push('\n');
        }
    }
    out
}

/// Where the last `count` whole lines begin; the parts of a line count once.
fn start_of_last(lines: &[&str], count: usize) -> usize {
    let ends = lines.iter().enumerate().rev().filter(|(_, line)| line.split(' ').nth(2) == Some("F"));
    ends.map(|(at, _)| at + 1).nth(count).unwrap_or(0)
}

fn is_since(line: &str, since: Option<Timestamp>) -> bool {
    let Some(since) = since else { return true };
    let time = line.split(' ').next().and_then(|time| time.parse::<Timestamp>().ok());
    time.is_some_and(|time| time >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2026-01-01T00:00:01.000000000Z stdout F one
2026-01-01T00:00:02.000000000Z stderr P tw
2026-01-01T00:00:02.000000000Z stderr F o
2026-01-01T00:00:03.000000000Z stdout F three  x\n";

    #[test]
    fn parts_of_a_log() {
        assert_eq!(select(TEXT, &Wanted::default()), "one\ntwo\nthree  x\n");
        assert_eq!(select(TEXT, &Wanted { tail: Some(1), ..Wanted::default() }), "three  x\n");
        assert_eq!(select(TEXT, &Wanted { tail: Some(2), ..Wanted::default() }), "two\nthree  x\n");
        assert_eq!(select(TEXT, &Wanted { tail: Some(0), ..Wanted::default() }), "");
        assert_eq!(select(TEXT, &Wanted { tail: Some(9), ..Wanted::default() }), "one\ntwo\nthree  x\n");
        let since = Some("2026-01-01T00:00:02Z".parse().unwrap());
        assert_eq!(select(TEXT, &Wanted { since, ..Wanted::default() }), "two\nthree  x\n");
        let stamped = Wanted { tail: Some(1), timestamps: true, ..Wanted::default() };
        assert_eq!(select(TEXT, &stamped), "2026-01-01T00:00:03.000000000Z three  x\n");
    }

    #[tokio::test]
    async fn written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), 0).unwrap();
        log.write("stdout", tokio::io::BufReader::with_capacity(8, &b"a\nlonger than eight\n\nend"[..]))
            .await;
        let file = newest(dir.path(), false).unwrap();
        let (text, position) = read_from(&file, 0).unwrap();
        assert_eq!(select(&text, &Wanted::default()), "a\nlonger than eight\n\nend");
        assert_eq!(read_from(&file, position).unwrap(), (String::new(), position));
        assert_eq!(read_from(&file, position + 100).unwrap().1, position, "cut: from the start");
    }

    #[test]
    fn runs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path(), false), None);
        for run in 0..3 {
            Log::create(dir.path(), run).unwrap();
        }
        assert_eq!(newest(dir.path(), false), Some(dir.path().join("2.log")));
        assert_eq!(newest(dir.path(), true), Some(dir.path().join("1.log")));
        assert!(!dir.path().join("0.log").exists(), "only the previous one is kept");
    }

    #[test]
    fn a_long_log_loses_its_older_half() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), 0).unwrap();
        let long = format!("{}\n", "x".repeat(1 << 20));
        for _ in 0..=32 {
            log.append(long.as_bytes());
        }
        log.append(b"last\n");
        let length = std::fs::metadata(dir.path().join("0.log")).unwrap().len();
        assert!(length < LIMIT, "{length}");
        let (text, _) = read_from(&dir.path().join("0.log"), 0).unwrap();
        assert!(text.ends_with("x\nlast\n") && text.starts_with('x'));
    }
}
