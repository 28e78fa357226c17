//! The graph of targets: orders and cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalogue, Entry, Link, Platform, Platforms, Reference, StageLinks};
use crate::{Diagnostic, Diagnostics};

/// A target for one platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The target's id.
    pub id: String,
    /// What it is built for.
    pub platform: Platform,
}

/// A node of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanNode {
    /// What is built.
    pub node: Node,
    /// The indices in the plan of what it needs, each smaller than its own.
    pub needs: Vec<usize>,
}

/// All that must be built, each after what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The targets, in an order that they can be built in.
    pub nodes: Vec<PlanNode>,
}

impl Plan {
    /// Where a target stands.
    pub fn find(&self, node: &Node) -> Option<usize> {
        self.nodes.iter().position(|each| each.node == *node)
    }
}

impl Catalogue {
    /// What a target is built for when it is wanted for `platform`: a package that names its
    /// platforms is built for the first of them if it does not name the wanted one.
    pub fn platform_of(&self, entry: &Entry, platform: &Platform) -> Platform {
        let mut named = entry.package.platforms.iter().filter_map(|text| Platform::parse(text));
        let first = named.next();
        match first {
            Some(first) if first != *platform && !named.any(|each| each == *platform) => first,
            _ => platform.clone(),
        }
    }

    /// What a target needs directly: the targets that its stage, and the stages that it is made
    /// from, name. Other stages of its Containerfile do not count.
    pub fn needs(&self, node: &Node, build: &Platform) -> Result<BTreeSet<Node>, Diagnostics> {
        let (entry, stage) = self.find(&node.id)?;
        let target = self.platform_of(entry, &node.platform);
        let platforms = Platforms { target, build: build.clone() };
        let links = self.links(entry, &platforms).map_err(Diagnostics::new)?;
        let mut needs = BTreeSet::new();
        for index in reached(&links, stage) {
            for link in links[index].all() {
                if let Reference::Target(id) = &link.reference {
                    let (other, _) = self.find(id)?;
                    let platform = self.platform_of(other, &links[index].platform);
                    needs.insert(Node { id: id.clone(), platform });
                }
            }
        }
        Ok(needs)
    }

    /// Everything that must be built for `wanted`, in order.
    ///
    /// The error names a target that does not exist, a reference that leads nowhere, or a cycle.
    pub fn plan(&self, wanted: &[Node], build: &Platform) -> Result<Plan, Diagnostics> {
        let mut needs: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
        let mut open: Vec<Node> = Vec::new();
        for node in wanted {
            let (entry, _) = self.find(&node.id)?;
            let platform = self.platform_of(entry, &node.platform);
            open.push(Node { id: node.id.clone(), platform });
        }
        let mut errors = Vec::new();
        while let Some(node) = open.pop() {
            if needs.contains_key(&node) {
                continue;
            }
            let direct = self.needs(&node, build).unwrap_or_else(|found| {
                errors.extend(found);
                BTreeSet::new()
            });
            open.extend(direct.iter().cloned());
            needs.insert(node, direct);
        }
        let nodes: Vec<&Node> = needs.keys().collect();
        let place = |node: &Node| nodes.binary_search(&node).unwrap_or_default();
        let edges: Vec<Vec<usize>> =
            needs.values().map(|direct| direct.iter().map(place).collect()).collect();
        let Sorted { order, cycles } = sort(&edges);
        for cycle in cycles {
            let names: Vec<&str> = cycle.iter().map(|index| nodes[*index].id.as_str()).collect();
            errors.push(self.cycle(&names));
        }
        if !errors.is_empty() {
            return Err(Diagnostics::new(errors));
        }
        let mut places = vec![0; nodes.len()];
        for (index, node) in order.iter().enumerate() {
            places[*node] = index;
        }
        let plan_node = |index: &usize| PlanNode {
            node: nodes[*index].clone(),
            needs: edges[*index].iter().map(|need| places[*need]).collect(),
        };
        Ok(Plan { nodes: order.iter().map(plan_node).collect() })
    }

    /// The error for targets that need each other.
    pub(super) fn cycle(&self, names: &[&str]) -> Diagnostic {
        let mut path: Vec<&str> = names.to_vec();
        path.extend(names.first());
        let message = format!("packages need each other: {}", path.join(" → "));
        let place = names.first().and_then(|id| {
            let (entry, _) = self.target(id)?;
            let next = names.get(1).unwrap_or(&names[0]);
            let platforms = self.platforms_of(entry);
            let links = platforms.iter().find_map(|each| self.links(entry, each).ok())?;
            let leads = |link: &&Link| link.reference == Reference::Target((*next).to_owned());
            let span = links.iter().flat_map(StageLinks::all).find(leads)?.span;
            Some((entry, span))
        });
        let error = match place {
            Some((entry, span)) => entry.containerfile.document.error(span, message),
            None => Diagnostic::error(message),
        };
        error.with_help("a package cannot be built from what is built from it: break the circle")
    }

    /// What a package is checked for.
    pub(super) fn platforms_of(&self, entry: &Entry) -> Vec<Platforms> {
        let named: Vec<_> = entry
            .package
            .platforms
            .iter()
            .filter_map(|text| Platform::parse(text).map(Platforms::native))
            .collect();
        if named.is_empty() { self.options.platforms.clone() } else { named }
    }
}

/// The stages that a stage is made from, and itself, in order.
pub(super) fn reached(links: &[StageLinks], stage: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![stage];
    while let Some(index) = open.pop() {
        if index < links.len() && reached.insert(index) {
            open.extend(stages(&links[index]));
        }
    }
    reached
}

/// The stages that a stage names.
pub(super) fn stages(links: &StageLinks) -> impl Iterator<Item = usize> {
    links.all().filter_map(|link| match link.reference {
        Reference::Stage(index) => Some(index),
        _ => None,
    })
}

/// An order of all nodes, and what stands in its way.
pub(super) struct Sorted {
    /// Every node after those it leads to, but for edges that close a cycle.
    pub(super) order: Vec<usize>,
    /// Cycles, each from its smallest node on; at least one for each knot.
    pub(super) cycles: Vec<Vec<usize>>,
}

/// Sorts nodes so that each comes after those that its edges lead to.
///
/// It goes depth first, with a stack of its own, since graphs may be deeper than a thread's.
pub(super) fn sort(edges: &[Vec<usize>]) -> Sorted {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    let mut sorted = Sorted { order: Vec::with_capacity(edges.len()), cycles: Vec::new() };
    for root in 0..edges.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut path = vec![(root, 0)];
        while let Some((node, at)) = path.last_mut() {
            let Some(next) = edges[*node].get(*at).copied() else {
                marks[*node] = Mark::Done;
                sorted.order.push(*node);
                path.pop();
                continue;
            };
            *at += 1;
            match marks.get(next) {
                Some(Mark::New) => {
                    marks[next] = Mark::Open;
                    path.push((next, 0));
                }
                Some(Mark::Open) => {
                    let start = path.iter().position(|(node, _)| *node == next).unwrap_or_default();
                    let mut cycle: Vec<usize> =
                        path[start..].iter().map(|(node, _)| *node).collect();
                    let least = cycle.iter().enumerate().min_by_key(|(_, node)| **node);
                    let least = least.map_or(0, |(index, _)| index);
                    cycle.rotate_left(least);
                    sorted.cycles.push(cycle);
                }
                _ => {}
            }
        }
    }
    sorted.cycles.sort();
    sorted.cycles.dedup();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_after_what_is_needed() {
        let Sorted { order, cycles } = sort(&[vec![1, 2], vec![2], vec![], vec![0]]);
        assert_eq!((order, cycles), (vec![2, 1, 0, 3], vec![]));
    }

    #[test]
    fn finds_every_knot() {
        let edges = [vec![1], vec![2], vec![0], vec![3], vec![5], vec![4], vec![0]];
        assert_eq!(sort(&edges).cycles, vec![vec![0, 1, 2], vec![3], vec![4, 5]]);
        assert_eq!(sort(&edges).order.len(), edges.len());
    }

    #[test]
    fn a_deep_chain_does_not_exhaust_the_stack() {
        let edges: Vec<_> =
            (0..200_000).map(|n| if n < 199_999 { vec![n + 1] } else { vec![] }).collect();
        let Sorted { order, cycles } = sort(&edges);
        assert_eq!((order.first(), order.len(), cycles.len()), (Some(&199_999), 200_000, 0));
    }
}
