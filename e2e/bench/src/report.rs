//! Figures as they come, and what became of the goals.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::statistics::median;

/// Where figures go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Output {
    /// Append the lines of JSON to this file instead of printing them
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    measure: String,
    side: String,
    unit: String,
    value: f64,
}

/// What is wanted of a figure: its median, or its ratio to another side's median, is at most this.
#[derive(Clone, Debug)]
struct Goal {
    measure: String,
    side: String,
    against: Option<String>,
    at_most: f64,
}

/// What became of a goal.
#[derive(Debug, PartialEq)]
struct Verdict {
    /// The median, or the ratio of the medians.
    value: f64,
    met: bool,
}

/// Collects the figures of one benchmark.
pub(crate) struct Report {
    benchmark: &'static str,
    began: Instant,
    figures: Vec<Figure>,
    goals: Vec<Goal>,
    lines: Box<dyn Write + Send>,
}

impl Report {
    /// An empty report that writes its lines of JSON where `output` says.
    pub(crate) fn new(benchmark: &'static str, output: &Output) -> io::Result<Self> {
        let lines: Box<dyn Write + Send> = match &output.json {
            Some(path) => Box::new(open(path)?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { benchmark, began: Instant::now(), figures: Vec::new(), goals: Vec::new(), lines })
    }

    /// Tells a person who waits how far it is, on standard error.
    pub(crate) fn progress(&self, text: &str) {
        eprintln!("[{:>6.1} s] {text}", self.began.elapsed().as_secs_f64());
    }

    /// Since the benchmark began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in a value and writes it as a line of JSON. Each further value of the same measure and side is of the
    /// next round, counted from 1.
    pub(crate) fn add(&mut self, measure: &str, side: &str, value: f64, unit: &str) -> io::Result<()> {
        let round = self.values(measure, side).len() + 1;
        self.line(&json!({"name": measure, "side": side, "round": round, "value": value, "unit": unit}))?;
        self.figures.push(Figure {
            measure: measure.to_owned(),
            side: side.to_owned(),
            unit: unit.to_owned(),
            value,
        });
        Ok(())
    }

    /// The last value of this measure and side.
    pub(crate) fn newest(&self, measure: &str, side: &str) -> Option<f64> {
        self.values(measure, side).last().copied()
    }

    /// The median of this measure and side is to be at most this.
    pub(crate) fn want(&mut self, measure: &str, side: &str, at_most: f64) {
        self.goals.push(Goal { measure: measure.to_owned(), side: side.to_owned(), against: None, at_most });
    }

    /// The median is to be at most this, as a multiple of the other side's median.
    pub(crate) fn want_ratio(&mut self, measure: &str, side: &str, against: &str, at_most: f64) {
        let (measure, side, against) = (measure.to_owned(), side.to_owned(), Some(against.to_owned()));
        self.goals.push(Goal { measure, side, against, at_most });
    }

    /// Writes the ratios as lines of JSON, and prints the table.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.judge_all()?;
        let table = self.table();
        self.close(&table)
    }

    /// [`Report::finish`] with a table of the benchmark's own in front of its goals.
    pub(crate) fn finish_with(mut self, columns: &[Vec<String>]) -> io::Result<()> {
        self.judge_all()?;
        let goals = self.goals.iter().filter_map(|goal| {
            let Verdict { value, met } = self.judge(goal)?;
            let verdict = if met { "met" } else { "MISSED" };
            Some(format!("{verdict:<7} {} <= {}: {}", goal.measure, figure(goal.at_most), figure(value)))
        });
        let table = format!("{}\n\n{}", align(columns), goals.collect::<Vec<_>>().join("\n"));
        self.close(&table)
    }

    fn close(mut self, table: &str) -> io::Result<()> {
        self.lines.flush()?;
        println!("\n{table}");
        println!("took {:.0} s", self.began.elapsed().as_secs_f64());
        Ok(())
    }

    fn judge_all(&mut self) -> io::Result<()> {
        for goal in std::mem::take(&mut self.goals) {
            if let Some(Verdict { value, met }) = self.judge(&goal) {
                let kind = if goal.against.is_some() { "ratio" } else { "median" };
                self.line(
                    &json!({"name": goal.measure, "side": goal.side, "against": goal.against, "kind": kind,
                    "value": value, "goal": goal.at_most, "met": met}),
                )?;
            }
            self.goals.push(goal);
        }
        Ok(())
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        let mut line = line.clone();
        line["bench"] = self.benchmark.into();
        writeln!(self.lines, "{line}")
    }

    fn values(&self, measure: &str, side: &str) -> Vec<f64> {
        let wanted = |figure: &&Figure| figure.measure == measure && figure.side == side;
        self.figures.iter().filter(wanted).map(|figure| figure.value).collect()
    }

    fn judge(&self, goal: &Goal) -> Option<Verdict> {
        let mut value = median(&self.values(&goal.measure, &goal.side))?;
        if let Some(against) = &goal.against {
            value /= median(&self.values(&goal.measure, against))?;
        }
        // 0/0 is no number: nothing was measured, and no goal is met by that.
        Some(Verdict { value, met: value <= goal.at_most })
    }

    /// Measures, sides and units. Sides of a measure are together, else all are in the order in which they came.
    fn rows(&self) -> Vec<(&str, &str, &str)> {
        let mut rows: Vec<(&str, &str, &str)> = Vec::new();
        for Figure { measure, side, unit, .. } in &self.figures {
            if !rows.contains(&(measure, side, unit)) {
                let together = rows.iter().rposition(|(known, ..)| known == measure).map(|at| at + 1);
                rows.insert(together.unwrap_or(rows.len()), (measure, side, unit));
            }
        }
        rows
    }

    /// One line for each measure and side.
    fn table(&self) -> String {
        let mut rows =
            vec![["measure", "side", "rounds", "median", "unit", "ratio", "goal", ""].map(String::from)];
        let mut last = "";
        for (measure, side, unit) in self.rows() {
            let values = self.values(measure, side);
            let rounds: Vec<_> = values.iter().map(|&value| figure(value)).collect();
            let goals = self.goals.iter().filter(|goal| goal.measure == measure && goal.side == side);
            let judged: Vec<_> = goals.filter_map(|goal| Some((goal, self.judge(goal)?))).collect();
            let each = |text: fn(&(&Goal, Verdict)) -> Option<String>| {
                judged.iter().filter_map(text).collect::<Vec<_>>().join(", ")
            };
            rows.push([
                if measure == last { String::new() } else { measure.to_owned() },
                side.to_owned(),
                if rounds.len() > SHOWN { format!("{} values", rounds.len()) } else { rounds.join(" ") },
                median(&values).map(figure).unwrap_or_default(),
                unit.to_owned(),
                each(|(goal, verdict)| goal.against.as_ref().map(|_| format!("{:.2}", verdict.value))),
                each(|(goal, _)| Some(format!("<= {}", figure(goal.at_most)))),
                each(|(_, verdict)| Some(if verdict.met { "met" } else { "MISSED" }.to_owned())),
            ]);
            last = measure;
        }
        align(&rows)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write the figures to {}: {error}", path.display()))
    })
}

/// Why figures are lost.
pub(crate) fn unwritten(error: &io::Error) -> lab::Error {
    lab::Error::Invalid(format!("writing the figures: {error}"))
}

/// Three significant digits, and whole numbers above a thousand.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// More values of a measure than these are not shown one by one.
const SHOWN: usize = 10;

/// Columns under each other, numbers too, as they are short.
fn align(rows: &[impl AsRef<[String]>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells: Vec<_> =
            row.as_ref().iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn report(kept: &Kept) -> Report {
        Report {
            benchmark: "test",
            began: Instant::now(),
            figures: Vec::new(),
            goals: Vec::new(),
            lines: Box::new(kept.clone()),
        }
    }

    #[test]
    fn medians_are_set_against_each_other_and_goals_judged() {
        let kept = Kept::default();
        let mut report = report(&kept);
        for (ours, theirs) in [(1.0, 4.0), (9.0, 5.0), (2.0, 6.0)] {
            report.add("cpu", "a", ours, "s").unwrap();
            report.add("cpu", "b", theirs, "s").unwrap();
        }
        report.add("writes", "a", 3.0, "writes").unwrap();
        report.add("cpu", "c", 1.0, "s").unwrap();
        report.want_ratio("cpu", "a", "b", 0.4);
        report.want("writes", "a", 0.0);
        report.want("never measured", "a", 0.0);
        let table = report.table();
        let cpu: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cpu, ["cpu", "a", "1.00", "9.00", "2.00", "2.00", "s", "0.40", "<=", "0.400", "met"]);
        let writes: Vec<_> = table.lines().nth(4).unwrap().split_whitespace().collect();
        assert_eq!(writes, ["writes", "a", "3.00", "3.00", "writes", "<=", "0", "MISSED"]);

        report.finish().unwrap();
        let text = String::from_utf8(kept.0.lock().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(
            lines[5],
            json!({"bench": "test", "name": "cpu", "side": "b", "round": 3, "value": 6.0, "unit": "s"})
        );
        assert_eq!((&lines[8]["value"], &lines[8]["met"]), (&json!(0.4), &json!(true)));
        assert_eq!((&lines[9]["kind"], &lines[9]["met"]), (&json!("median"), &json!(false)));
    }

    #[test]
    fn nothing_measured_meets_no_goal() {
        let mut report = report(&Kept::default());
        report.add("cpu", "a", 0.0, "s").unwrap();
        report.add("cpu", "b", 0.0, "s").unwrap();
        let goal = Goal { measure: "cpu".into(), side: "a".into(), against: Some("b".into()), at_most: 1.0 };
        assert!(!report.judge(&goal).unwrap().met);
    }
}
