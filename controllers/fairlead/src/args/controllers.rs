//! `--controllers`: which controllers run, in kube-controller-manager's syntax.

use std::fmt;

/// A controller of this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    /// Services and Pods to Endpoints.
    Endpoints,
    /// Services and Pods to EndpointSlices.
    EndpointSlice,
    /// Endpoints of Services without selector to EndpointSlices.
    Mirroring,
    /// Services of type LoadBalancer to addresses of pools.
    LoadBalancer,
}

impl Controller {
    /// All there are; every one is on by default.
    pub(crate) const ALL: [Self; 4] =
        [Self::Endpoints, Self::EndpointSlice, Self::Mirroring, Self::LoadBalancer];

    /// The name, in kube-controller-manager as well if that has such a controller.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints-controller",
            Self::EndpointSlice => "endpointslice-controller",
            Self::Mirroring => "endpointslice-mirroring-controller",
            Self::LoadBalancer => "loadbalancer-controller",
        }
    }

    /// The older name, if there is one, which kube-controller-manager takes as well.
    pub(crate) fn alias(self) -> Option<&'static str> {
        match self {
            Self::Endpoints => Some("endpoint"),
            Self::EndpointSlice => Some("endpointslice"),
            Self::Mirroring => Some("endpointslicemirroring"),
            Self::LoadBalancer => None,
        }
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name || controller.alias() == Some(name))
    }
}

/// The controllers that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controllers(Vec<Controller>);

impl Controllers {
    /// Each that runs, once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Controller> {
        self.0.iter().copied()
    }

    /// Whether none runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From the items of the list. Of several items about a controller the first decides; `*` stands for all that
    /// no other item is about, wherever it is in the list.
    pub(super) fn parse<'a>(items: impl Iterator<Item = &'a str>) -> Result<Self, UnknownControllers> {
        let mut star = false;
        let mut decided: Vec<(Controller, bool)> = Vec::new();
        let mut unknown = Vec::new();
        for item in items.map(str::trim).filter(|item| !item.is_empty()) {
            if item == "*" {
                star = true;
                continue;
            }
            let (name, on) = item.strip_prefix('-').map_or((item, true), |name| (name, false));
            match Controller::find(name) {
                Some(controller) => decided.push((controller, on)),
                None => unknown.push(name.to_owned()),
            }
        }
        if !unknown.is_empty() {
            return Err(UnknownControllers(unknown));
        }
        let runs = |controller: &Controller| {
            decided.iter().find(|(about, _)| about == controller).map_or(star, |(_, on)| *on)
        };
        Ok(Self(Controller::ALL.into_iter().filter(runs).collect()))
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Controller::name).collect();
        f.write_str(&names.join(","))
    }
}

/// Names in the list that no controller has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownControllers(Vec<String>);

impl fmt::Display for UnknownControllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown: Vec<_> = self.0.iter().map(|name| format!("{name:?}")).collect();
        let known = Controller::ALL.map(|controller| match controller.alias() {
            Some(alias) => format!("{} ({alias})", controller.name()),
            None => controller.name().to_owned(),
        });
        let (is, a) =
            if unknown.len() == 1 { ("is", "a known controller") } else { ("are", "known controllers") };
        write!(f, "{} {is} not {a}; known are {}", unknown.join(", "), known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller,\
                       loadbalancer-controller";

    #[test]
    fn lists() {
        for (list, expected) in [
            ("*", ALL),
            ("endpointslice-controller", "endpointslice-controller"),
            ("endpointslice", "endpointslice-controller"),
            ("endpoint", "endpoints-controller"),
            ("endpointslice,endpoints-controller", "endpoints-controller,endpointslice-controller"),
            ("", ""),
            ("-endpointslice-controller", ""),
            (
                "*,-endpointslice",
                "endpoints-controller,endpointslice-mirroring-controller,loadbalancer-controller",
            ),
            (
                "*,-endpoints-controller,-endpointslicemirroring",
                "endpointslice-controller,loadbalancer-controller",
            ),
            ("loadbalancer-controller", "loadbalancer-controller"),
            ("endpointslicemirroring", "endpointslice-mirroring-controller"),
            ("endpointslice-mirroring-controller", "endpointslice-mirroring-controller"),
            (
                "-endpointslice,*,-loadbalancer-controller",
                "endpoints-controller,endpointslice-mirroring-controller",
            ),
            // The first item about a controller decides.
            ("endpointslice,-endpointslice-controller", "endpointslice-controller"),
            ("-endpointslice-controller,endpointslice", ""),
            (" * , ", ALL),
        ] {
            let controllers = Controllers::parse(list.split(',')).unwrap();
            assert_eq!(controllers.to_string(), expected, "{list}");
            assert_eq!(controllers.is_empty(), expected.is_empty(), "{list}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let known = "known are endpoints-controller (endpoint), endpointslice-controller (endpointslice), \
                     endpointslice-mirroring-controller (endpointslicemirroring), loadbalancer-controller";
        for (list, expected) in [
            ("*,nope", r#""nope" is not a known controller"#),
            ("-nope", r#""nope" is not a known controller"#),
            ("a,*,-b", r#""a", "b" are not known controllers"#),
            ("-*", r#""*" is not a known controller"#),
            // kube-controller-manager takes the alias without its "s".
            ("endpoints", r#""endpoints" is not a known controller"#),
            ("loadbalancer", r#""loadbalancer" is not a known controller"#),
        ] {
            let refusal = Controllers::parse(list.split(',')).unwrap_err().to_string();
            assert_eq!(refusal, format!("{expected}; {known}"));
        }
    }
}
