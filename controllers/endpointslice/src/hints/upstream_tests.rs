//! Compares with what upstream was seen to do, case by case.

use fairlead_objects::Family;

use super::tests::{assign_all, desired, endpoint, hints, slice, table};
use super::*;

const CASES: &str = include_str!("upstream.txt");

/// Zone, readiness and hinted zone.
type Spec = (String, bool, Option<String>);

fn slices(text: &str) -> Vec<Vec<Spec>> {
    let spec = |word: &str| {
        let (ready, word) = word.strip_prefix('!').map_or((true, word), |word| (false, word));
        let (zone, hint) =
            word.split_once('>').map_or((word, None), |(zone, hint)| (zone, Some(hint.to_owned())));
        (zone.to_owned(), ready, hint)
    };
    let all = text.split('/').map(|slice| slice.split_whitespace().map(spec).collect::<Vec<_>>());
    all.filter(|slice| !slice.is_empty()).collect()
}

fn hint(hints: Option<&Hints>) -> Option<String> {
    hints.map(|hints| {
        let [zone] = hints.zones.as_slice() else { panic!("one zone expected: {hints:?}") };
        zone.to_string()
    })
}

#[test]
fn hints_and_messages_are_those_of_upstream() {
    let mut seen = 0;
    for case in CASES.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = case.split('|').map(str::trim).collect();
        let [cpu, packed, unchanged, message, packed_then, unchanged_then] = fields[..] else {
            panic!("six fields expected: {case}")
        };
        let cpu = cpu.split_whitespace().map(|zone| zone.split_once('=').unwrap());
        let cpu: Vec<_> = cpu.map(|(zone, millicores)| (zone, millicores.parse().unwrap())).collect();
        let mut packed: Vec<Vec<_>> = slices(packed)
            .iter()
            .map(|slice| slice.iter().map(|(zone, ready, _)| desired(zone, "n", *ready)).collect())
            .collect();
        let existing = |(zone, ready, hint): &Spec| {
            endpoint(zone, "n", Some(*ready), hint.as_deref().and_then(|zone| hints(&[zone], &[])))
        };
        let unchanged: Vec<_> =
            slices(unchanged).iter().map(|specs| slice(specs.iter().map(existing).collect())).collect();

        let (rewrites, state) = assign_all(Mode::Auto, &table(&cpu), &mut packed, &unchanged);

        let event = event(Family::V4, None, &state, false).unwrap().to_string();
        assert_eq!(event, format!("{message}, addressType: IPv4"), "{case}");
        let written = |it: &DesiredEndpoint| {
            (it.zone.as_deref().unwrap_or_default().to_owned(), it.readiness.ready, hint(it.hints.as_deref()))
        };
        let found: Vec<Vec<_>> = packed.iter().map(|slice| slice.iter().map(written).collect()).collect();
        assert_eq!(found, slices(packed_then), "{case}");
        let mut found: Vec<Vec<Option<String>>> = unchanged
            .iter()
            .map(|slice| slice.endpoints.iter().map(|it| hint(it.hints.as_deref())).collect())
            .collect();
        for rewrite in &rewrites {
            let after: Vec<_> = rewrite.hints.iter().map(|hints| hint(hints.as_deref())).collect();
            assert_ne!(found[rewrite.slice], after, "a write for nothing: {case}");
            found[rewrite.slice] = after;
        }
        let expected: Vec<Vec<_>> = slices(unchanged_then)
            .into_iter()
            .map(|slice| slice.into_iter().map(|it| it.2).collect())
            .collect();
        assert_eq!(found, expected, "{case}");
        seen += 1;
    }
    assert_eq!(seen, 160);
}
