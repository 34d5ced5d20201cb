//! Names for sets of announcements, the same on all nodes.

use fairlead_discovery::announcing::Announcement;
use fairlead_layer2::ClassId;
use fairlead_objects::{Operator, Selector};
use ring::digest::{Context, SHA256};

/// The first 4 bytes of the SHA-256 of what the announcements say, each text with its length before it.
#[must_use]
pub(crate) fn id(announcements: &[Announcement]) -> ClassId {
    let mut hash = Hash(Context::new(&SHA256));
    hash.number(announcements.len());
    for announcement in announcements {
        hash.text(&announcement.name);
        hash.number(announcement.nodes.len());
        announcement.nodes.iter().for_each(|selector| hash.selector(selector));
        hash.number(announcement.interfaces.len());
        announcement.interfaces.iter().for_each(|interface| hash.text(interface));
        hash.number(announcement.preferred.len());
        for (weight, selector) in &announcement.preferred {
            hash.number(usize::from(*weight));
            hash.selector(selector);
        }
    }
    let digest = hash.0.finish();
    let mut first = [0; 4];
    first.copy_from_slice(&digest.as_ref()[..4]);
    ClassId(u32::from_be_bytes(first))
}

struct Hash(Context);

impl Hash {
    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn selector(&mut self, selector: &Selector) {
        self.number(selector.match_labels.len());
        for (key, value) in &selector.match_labels {
            self.text(key);
            self.text(value);
        }
        self.number(selector.match_expressions.len());
        for requirement in &selector.match_expressions {
            self.text(&requirement.key);
            self.text(match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
                Operator::Unknown => "",
            });
            self.number(requirement.values.len());
            requirement.values.iter().for_each(|value| self.text(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::Requirement;

    use super::*;

    #[test]
    fn whatever_differs_makes_another_class() {
        let plain = Announcement { name: "a".into(), ..Announcement::default() };
        let labels = |key: &str, value: &str| Selector {
            match_labels: vec![(key.into(), value.into())],
            ..Selector::default()
        };
        let expression = |operator, values: &[&str]| Selector {
            match_expressions: vec![Requirement {
                key: "k".into(),
                operator,
                values: values.iter().map(|it| (*it).into()).collect(),
            }],
            ..Selector::default()
        };
        let nodes = |selector| vec![Announcement { nodes: vec![selector], ..plain.clone() }];
        let all = [
            vec![],
            vec![Announcement::default()],
            vec![plain.clone()],
            vec![plain.clone(), plain.clone()],
            vec![Announcement { interfaces: vec!["eth0".into()], ..plain.clone() }],
            vec![Announcement { interfaces: vec!["eth".into(), "0".into()], ..plain.clone() }],
            nodes(Selector::default()),
            nodes(labels("ab", "c")),
            nodes(labels("a", "bc")),
            nodes(expression(Operator::In, &["x", "y"])),
            nodes(expression(Operator::NotIn, &["x", "y"])),
            nodes(expression(Operator::In, &["xy"])),
            vec![Announcement { preferred: vec![(1, labels("a", "b"))], ..plain.clone() }],
            vec![Announcement { preferred: vec![(2, labels("a", "b"))], ..plain }],
        ];
        let mut ids: Vec<ClassId> = all.iter().map(|announcements| id(announcements)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn a_class_is_named_alike_by_every_version() {
        // printf '\0\0\0\0\0\0\0\0' | sha256sum
        assert_eq!(id(&[]), ClassId(0xaf55_70f5));
    }
}
