//! Everything that can be wrong with packages, at once.

use std::collections::BTreeMap;

use super::{
    Catalogue, Entry, Node, Platforms, Reference, StageLinks,
    graph::{self, Sorted},
    sources,
};
use crate::{Diagnostic, Diagnostics};

pub(super) fn check(catalogue: &Catalogue) -> Diagnostics {
    let mut found = catalogue.found.clone();
    for entry in catalogue.packages.values() {
        found.extend(entry.containerfile.warnings.iter().cloned());
        let platforms = catalogue.platforms_of(entry);
        let mut failures = Vec::new();
        let mut linked = Vec::new();
        for platforms in &platforms {
            match catalogue.links(entry, platforms) {
                Ok(links) => linked.push((platforms, links)),
                Err(errors) => failures.push(errors),
            }
        }
        // A package need not build for every architecture; what leads nowhere for all of them
        // is wrong.
        if linked.is_empty() {
            found.extend(common(failures));
        }
        if let Some((_, links)) = linked.first() {
            found.extend(stage_cycles(entry, links));
            found.extend(loose_images(entry, links));
        }
        let all: Vec<&Platforms> = platforms.iter().collect();
        found.extend(sources::check(entry, &all));
    }
    found.extend(package_cycles(catalogue));
    Diagnostics::new(found)
}

/// The diagnostics at places that every list has one at.
pub(super) fn common(mut lists: Vec<Vec<Diagnostic>>) -> Vec<Diagnostic> {
    let Some(first) = lists.pop() else { return Vec::new() };
    let everywhere = |each: &Diagnostic| {
        lists.iter().all(|list| list.iter().any(|other| other.location == each.location))
    };
    first.iter().filter(|each| everywhere(each)).cloned().collect()
}

fn stage_cycles(entry: &Entry, links: &[StageLinks]) -> Vec<Diagnostic> {
    let stages = &entry.containerfile.stages;
    let edges: Vec<Vec<usize>> = links.iter().map(|links| graph::stages(links).collect()).collect();
    let Sorted { cycles, .. } = graph::sort(&edges);
    let name = |index: &usize| match stages.get(*index).and_then(|stage| stage.name.as_ref()) {
        Some(name) => name.value.clone(),
        None => index.to_string(),
    };
    let error = |cycle: Vec<usize>| {
        let mut path: Vec<String> = cycle.iter().map(name).collect();
        path.extend(path.first().cloned());
        let next = cycle.get(1).unwrap_or(&cycle[0]);
        let link = links[cycle[0]].all().find(|link| link.reference == Reference::Stage(*next));
        let span = link.map_or(stages[cycle[0]].span, |link| link.span);
        entry
            .containerfile
            .document
            .error(span, format!("stages need each other: {}", path.join(" → ")))
            .with_help("a stage cannot copy from one that is made from it: break the circle")
    };
    cycles.into_iter().map(error).collect()
}

/// Images from elsewhere that may be another tomorrow.
fn loose_images(entry: &Entry, links: &[StageLinks]) -> Vec<Diagnostic> {
    let loose = links.iter().flat_map(StageLinks::all).filter_map(|link| match &link.reference {
        Reference::Image(image) if !image.contains("@sha256:") => Some((image, link.span)),
        _ => None,
    });
    let warn = |(image, span): (&String, _)| {
        entry
            .containerfile
            .document
            .warning(span, format!("the image `{image}` is not pinned"))
            .with_help(format!("name its digest: {image}@sha256:…"))
    };
    loose.map(warn).collect()
}

fn package_cycles(catalogue: &Catalogue) -> Vec<Diagnostic> {
    let ids: Vec<&str> = catalogue.targets().collect();
    let places: BTreeMap<&str, usize> = ids.iter().enumerate().map(|(n, id)| (*id, n)).collect();
    let mut found = Vec::new();
    for platforms in &catalogue.options.platforms {
        let needs = |id: &&str| {
            let node = Node { id: (*id).to_owned(), platform: platforms.target.clone() };
            let needs = catalogue.needs(&node, &platforms.build).unwrap_or_default();
            needs.iter().filter_map(|need| places.get(need.id.as_str()).copied()).collect()
        };
        let edges: Vec<Vec<usize>> = ids.iter().map(needs).collect();
        for cycle in graph::sort(&edges).cycles {
            let names: Vec<&str> = cycle.iter().map(|index| ids[*index]).collect();
            found.push(catalogue.cycle(&names));
        }
    }
    found
}
