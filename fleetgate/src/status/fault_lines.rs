//! Lines of the log about faults, written on a thread of their own.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, mpsc};

use proto::Fault;

use super::faults::{Field, Locate};

/// Lines that are written at one time; there are more only when thousands of objects are wrong at once.
const MOST: usize = 500;

/// A line to write.
pub(super) struct Line {
    text: String,
    is_mended: bool,
    /// What is looked for in the files.
    field: Option<Field>,
}

impl Line {
    /// About a fault that came.
    pub(super) fn fault(fault: &Fault) -> Line {
        let field = Some((fault.object.clone(), fault.field.clone()));
        Line { text: fault.to_string(), is_mended: false, field }
    }

    /// About a fault that went.
    pub(super) fn mended(fault: &Fault) -> Line {
        Line { text: format!("{fault:#}"), is_mended: true, field: None }
    }

    /// About one that says itself where it is.
    pub(super) fn placed(fault: &impl Display, is_mended: bool) -> Line {
        let text = if is_mended { format!("{fault:#}") } else { fault.to_string() };
        Line { text, is_mended, field: None }
    }
}

/// Starts the thread. It ends with the sender.
///
/// # Errors
/// If there is no thread to be had.
pub(super) fn start(locate: Arc<Locate>) -> io::Result<mpsc::Sender<Vec<Line>>> {
    let (sender, receiver) = mpsc::channel::<Vec<Line>>();
    std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
        while let Ok(first) = receiver.recv() {
            let lines: Vec<Line> = first.into_iter().chain(receiver.try_iter().flatten()).collect();
            for (is_mended, text) in written(lines, &*locate) {
                if is_mended { tracing::info!("mended: {text}") } else { tracing::warn!("{text}") }
            }
        }
    })?;
    Ok(sender)
}

/// The texts of lines, those about mended faults marked; all places are looked for together.
fn written(mut lines: Vec<Line>, locate: &Locate) -> Vec<(bool, String)> {
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    let fields: Vec<Field> = lines.iter().filter_map(|line| line.field.clone()).collect();
    let mut places = if fields.is_empty() { Vec::new() } else { locate(&fields) }.into_iter();
    let text = |line: Line| {
        let place = line.field.and_then(|_| places.next().flatten());
        let text = match place {
            Some((file, number)) => format!("{}:{number}: {}", file.display(), line.text),
            None => line.text,
        };
        (line.is_mended, text)
    };
    let mut texts: Vec<(bool, String)> = lines.into_iter().map(text).collect();
    if more > 0 {
        texts.push((false, format!("and {more} more lines about faults; /status has what is wrong now")));
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proto::{Fault, Kind, ResourceKey};

    use super::super::faults::Field;
    use super::{Line, MOST, written};

    fn fault(object: usize) -> Fault {
        Fault {
            object: ResourceKey::local(Kind::HTTP_ROUTE, "default", format!("r{object}")),
            field: "spec".to_owned(),
            problem: "bad".to_owned(),
            remedy: "mend it".to_owned(),
        }
    }

    #[test]
    fn faults_that_came_together_are_looked_for_together() {
        let calls = AtomicUsize::new(0);
        let locate = move |fields: &[Field]| -> Vec<Option<(PathBuf, usize)>> {
            assert_eq!(calls.fetch_add(1, Ordering::Relaxed), 0, "once for all");
            (0..fields.len()).map(|n| (n != 1).then(|| (PathBuf::from("f.yaml"), n + 1))).collect()
        };
        let lines = vec![
            Line::fault(&fault(0)),
            Line::mended(&fault(9)),
            Line::fault(&fault(1)),
            Line::fault(&fault(2)),
        ];
        let texts: Vec<String> = written(lines, &locate).into_iter().map(|(_, text)| text).collect();
        let rest = |n: usize| format!("HTTPRoute default/r{n}: spec: bad; mend it");
        assert_eq!(
            texts,
            [
                format!("f.yaml:1: {}", rest(0)),
                // What to do is done.
                "HTTPRoute default/r9: spec: bad".to_owned(),
                rest(1),
                format!("f.yaml:3: {}", rest(2)),
            ]
        );
    }

    #[test]
    fn at_one_time_only_so_many_lines_are_written() {
        let lines = (0..30_000).map(|n| Line::fault(&fault(n))).collect();
        let texts = written(lines, &|fields: &[Field]| vec![None; fields.len()]);
        assert_eq!(texts.len(), MOST + 1);
        let last = &texts[MOST].1;
        assert_eq!(last, "and 29500 more lines about faults; /status has what is wrong now");
    }
}
