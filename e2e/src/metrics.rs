//! Metrics in Prometheus' text format, as kube-apiserver and the manager serve them.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

/// One line: a name, labels and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name, with the suffix of a histogram's part (`_bucket`, `_sum`, `_count`).
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Metrics {
    /// Reads the text of a scrape. Comments and lines that are no samples are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(parse_line).collect() }
    }

    /// All samples.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The sum over the samples of this name that have all of these labels. 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        // `Iterator::sum` of no floats is -0.
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(has)
            .fold(0.0, |sum, sample| sum + sample.value)
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// `a="b",c="d"}` and what follows.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = parse_value(after)?;
        labels.insert(label.trim().to_owned(), value);
        rest = after;
    }
}

/// The value up to its closing quote; a backslash hides what follows it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// How often the API server was asked to write, by resource and verb, since it started. Refused writes count.
///
/// Read from its `apiserver_request_total`; `APPLY` is a server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    counts: BTreeMap<(String, String), u64>,
}

/// The verbs that change something.
const WRITE_VERBS: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

impl Writes {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let mut counts = BTreeMap::new();
        for sample in metrics.samples().iter().filter(|sample| sample.name == "apiserver_request_total") {
            let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
            let (verb, dry_run) = (label("verb"), label("dry_run"));
            if WRITE_VERBS.contains(&verb.as_str()) && dry_run.is_empty() {
                let resource = match label("subresource") {
                    subresource if subresource.is_empty() => label("resource"),
                    subresource => format!("{}/{subresource}", label("resource")),
                };
                // A counter of requests is a whole number and far below 2^53.
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let count = sample.value as u64;
                *counts.entry((resource, verb)).or_insert(0) += count;
            }
        }
        Self { counts }
    }

    /// Adds the writes that another API server was asked for.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.counts {
            *self.counts.entry(key.clone()).or_default() += count;
        }
    }

    /// What was added after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let difference = self.counts.iter().map(|(key, count)| {
            (key.clone(), count.saturating_sub(earlier.counts.get(key).copied().unwrap_or_default()))
        });
        Self { counts: difference.filter(|(_, count)| *count > 0).collect() }
    }

    /// Writes of one resource in its plural, such as `endpointslices` or `pods/status`.
    #[must_use]
    pub fn of_resource(&self, resource: &str) -> u64 {
        self.counts.iter().filter(|((found, _), _)| found == resource).map(|(_, count)| count).sum()
    }

    /// Writes of one resource with one verb: POST, PUT, PATCH, APPLY, DELETE, DELETECOLLECTION.
    #[must_use]
    pub fn of_verb(&self, resource: &str, verb: &str) -> u64 {
        self.counts.get(&(resource.to_owned(), verb.to_owned())).copied().unwrap_or_default()
    }

    /// All of them, by resource and verb.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.counts.iter().map(|((resource, verb), count)| (resource.as_str(), verb.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# HELP apiserver_request_total Counter of apiserver requests.
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",dry_run="",resource="endpointslices",subresource="",verb="POST"} 3
apiserver_request_total{code="409",dry_run="",resource="endpointslices",subresource="",verb="POST"} 1
apiserver_request_total{code="200",dry_run="",resource="endpointslices",subresource="",verb="GET"} 7
apiserver_request_total{code="200",dry_run="",resource="pods",subresource="status",verb="PATCH"} 5
apiserver_request_total{code="200",dry_run="All",resource="pods",subresource="",verb="POST"} 9
plain 1.5e+06 1700000000
odd{path="a\"b\\c}",} 2
"#;

    #[test]
    fn samples_with_and_without_labels() {
        let metrics = Metrics::parse(SCRAPE);
        assert_eq!(metrics.sum("plain", &[]).to_string(), "1500000");
        assert_eq!(metrics.sum("odd", &[("path", r#"a"b\c}"#)]).to_string(), "2");
        assert_eq!(
            metrics.sum("apiserver_request_total", &[("verb", "POST"), ("dry_run", "")]).to_string(),
            "4"
        );
        assert_eq!(metrics.sum("missing", &[]).to_string(), "0");
        assert_eq!(metrics.samples().len(), 7);
    }

    #[test]
    fn writes_are_counted_without_reads_and_dry_runs() {
        let writes = Writes::of(&Metrics::parse(SCRAPE));
        assert_eq!(writes.of_resource("endpointslices"), 4);
        assert_eq!(writes.of_verb("pods/status", "PATCH"), 5);
        assert_eq!(writes.of_resource("pods"), 0);
    }

    #[test]
    fn only_what_was_added_later_is_left() {
        let earlier = Writes::of(&Metrics::parse(SCRAPE));
        let later = Writes::of(&Metrics::parse(&SCRAPE.replace("} 5", "} 8")));
        assert_eq!(later.since(&earlier).iter().collect::<Vec<_>>(), [("pods/status", "PATCH", 3)]);
        assert_eq!(earlier.since(&earlier), Writes::default());
    }
}
