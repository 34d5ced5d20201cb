//! The shortest history that still makes a difference, and the file that keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Error, Result};

use crate::compare::Mode;
use crate::operation::{self, Operation};
use crate::rules::Used;
use crate::run::{Pair, Verdict};

/// How long a difference has to last while a history is made shorter: most are seen at once.
const PATIENCE: Duration = Duration::from_secs(12);
/// Then what has been found so far has to do.
const LIMIT: Duration = Duration::from_mins(8);

/// A history that makes a difference, and which.
pub(crate) struct Found {
    pub(crate) operations: Vec<Operation>,
    pub(crate) how: String,
}

/// Makes a history shorter for as long as it still makes a difference; none if it made none when it was done again.
/// All candidates of a length run side by side.
pub(crate) async fn shrink(pair: &Pair, mode: Mode, operations: &[Operation]) -> Result<Option<Found>> {
    let begun = Instant::now();
    let Some(mut found) = first_failing(pair, mode, vec![operations.to_vec()]).await? else {
        return Ok(None);
    };
    let mut parts = 2;
    while found.operations.len() > 1 && begun.elapsed() < LIMIT {
        let length = found.operations.len();
        parts = parts.min(length);
        match first_failing(pair, mode, without_each_part(&found.operations, parts)).await? {
            Some(shorter) => {
                found = shorter;
                parts = (parts - 1).max(2);
            }
            None if parts < length => parts *= 2,
            None => break,
        }
    }
    Ok(Some(found))
}

/// The operations without the first part, without the second, and so on.
fn without_each_part(operations: &[Operation], parts: usize) -> Vec<Vec<Operation>> {
    let bound = |part: usize| part * operations.len() / parts;
    (0..parts).map(|part| [&operations[..bound(part)], &operations[bound(part + 1)..]].concat()).collect()
}

/// Runs candidates and returns the shortest one that makes a difference, up to where it does.
async fn first_failing(pair: &Pair, mode: Mode, candidates: Vec<Vec<Operation>>) -> Result<Option<Found>> {
    let histories: Vec<_> = candidates.into_iter().map(|it| pair.history("shrunk", it)).collect();
    let verdicts = pair.run(mode, &histories, PATIENCE, &Used::default()).await?;
    let failing = histories.iter().zip(verdicts).filter_map(|(history, verdict)| match verdict {
        Verdict::Alike => None,
        Verdict::Differ { after, how } => {
            Some(Found { operations: history.operations[..after].to_vec(), how })
        }
    });
    Ok(failing.min_by_key(|it| it.operations.len()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/found")
}

/// Writes a history to a file of the test's own folder, from which it is done again by every later run.
pub(crate) fn save(mode: Mode, seed: u64, found: &Found) -> Result<PathBuf> {
    let path = folder().join(format!("{}-seed-{seed}.jsonl", mode.name()));
    let how: Vec<_> = found.how.lines().map(|line| format!("# {line}")).collect();
    let text = format!("{}\n{}", how.join("\n"), operation::to_lines(&found.operations)?);
    let written = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, text));
    written.map_err(|error| Error::Invalid(format!("writing {}: {error}", path.display())))?;
    Ok(path)
}

/// The histories that once made a difference, with the names of their files.
pub(crate) fn saved(mode: Mode) -> Result<Vec<(String, Vec<Operation>)>> {
    let mut all = Vec::new();
    let Ok(files) = fs::read_dir(folder()) else { return Ok(all) };
    for path in files.filter_map(|file| file.ok().map(|file| file.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(mode.name()) {
            let text = fs::read_to_string(&path)
                .map_err(|error| Error::Invalid(format!("reading {}: {error}", path.display())))?;
            all.push((name, operation::from_lines(&text)?));
        }
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_left_out_once() {
        let all = crate::generate::history(1, 5);
        let candidates = without_each_part(&all, 2);
        assert_eq!(candidates, [all[2..].to_vec(), all[..2].to_vec()]);
        assert_eq!(without_each_part(&all, 5).len(), 5);
        assert!(without_each_part(&all, 5).iter().all(|it| it.len() == 4));
    }
}
