//! Runs units of work that depend on each other on a fixed number of threads.

use std::{
    collections::{BTreeSet, BinaryHeap},
    sync::{Condvar, Mutex},
};

/// What came of running a graph.
#[derive(Debug)]
pub(crate) struct Outcome<E> {
    /// What failed, in the order in which it did.
    pub(crate) failures: Vec<(usize, E)>,
}

struct State<E> {
    /// Units whose dependencies are done: by what they and their dependents cost, then in their order.
    ready: BinaryHeap<(u64, std::cmp::Reverse<usize>)>,
    /// How many dependencies of each unit are not done.
    waiting: Vec<usize>,
    running: usize,
    failures: Vec<(usize, E)>,
    /// Whether nothing new is to be begun.
    ending: bool,
}

/// Runs `work` for every unit, each after those it depends on, on up to `jobs` threads. Of the
/// units that are ready the one goes first whose work and that of the chain of dependents behind it
/// cost the most. After a failure nothing new is begun unless `goes_on` says so of it, and what
/// depends on the unit that failed never is; what runs is awaited.
///
/// `dependencies[u]` lists what unit `u` waits for; it must be free of cycles. `costs[u]` is what
/// its work is thought to take, in any measure; a unit without one, or with 0, counts as 1.
pub(crate) fn run<E: Send>(
    dependencies: &[BTreeSet<usize>],
    costs: &[u64],
    jobs: usize,
    goes_on: impl Fn(&E) -> bool + Sync,
    work: impl Fn(usize) -> Result<(), E> + Sync,
) -> Outcome<E> {
    let count = dependencies.len();
    let mut dependents = vec![Vec::new(); count];
    for (unit, needs) in dependencies.iter().enumerate() {
        for &need in needs {
            dependents[need].push(unit);
        }
    }
    let heights = heights(&dependents, costs);
    let waiting: Vec<usize> = dependencies.iter().map(BTreeSet::len).collect();
    let ready = (0..count)
        .filter(|&unit| waiting[unit] == 0)
        .map(|unit| (heights[unit], std::cmp::Reverse(unit)))
        .collect();
    let state =
        Mutex::new(State { ready, waiting, running: 0, failures: Vec::new(), ending: false });
    let changed = Condvar::new();
    // A poisoned lock means that a worker panicked; the scope passes the panic on.
    let lock = || state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let worker = || loop {
        let mut guard = lock();
        let unit = loop {
            if guard.ending {
                return;
            }
            if let Some((_, std::cmp::Reverse(unit))) = guard.ready.pop() {
                break unit;
            }
            if guard.running == 0 {
                return;
            }
            guard = changed.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        };
        guard.running += 1;
        drop(guard);
        let result = work(unit);
        let mut guard = lock();
        guard.running -= 1;
        match result {
            Ok(()) => {
                for &dependent in &dependents[unit] {
                    guard.waiting[dependent] -= 1;
                    if guard.waiting[dependent] == 0 {
                        guard.ready.push((heights[dependent], std::cmp::Reverse(dependent)));
                    }
                }
            }
            Err(error) => {
                guard.ending |= !goes_on(&error);
                guard.failures.push((unit, error));
            }
        }
        drop(guard);
        changed.notify_all();
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(worker);
        }
    });
    let state = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Outcome { failures: state.failures }
}

/// What each unit and the most costly chain of its dependents cost.
fn heights(dependents: &[Vec<usize>], costs: &[u64]) -> Vec<u64> {
    let cost = |unit: usize| costs.get(unit).copied().unwrap_or(0).max(1);
    let mut heights: Vec<Option<u64>> = vec![None; dependents.len()];
    // A unit is pushed a second time, as done, below its dependents.
    let mut stack: Vec<(usize, bool)> = (0..dependents.len()).map(|unit| (unit, false)).collect();
    while let Some((unit, done)) = stack.pop() {
        if done {
            let above = dependents[unit].iter().filter_map(|&dependent| heights[dependent]).max();
            heights[unit] = Some(cost(unit).saturating_add(above.unwrap_or(0)));
        } else if heights[unit].is_none() {
            // A mark against cycles, which callers have ruled out.
            heights[unit] = Some(0);
            stack.push((unit, true));
            let next = dependents[unit].iter().filter(|&&next| heights[next].is_none());
            stack.extend(next.map(|&next| (next, false)));
        }
    }
    heights.into_iter().map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn graph(edges: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        edges.iter().map(|needs| needs.iter().copied().collect()).collect()
    }

    #[test]
    fn respects_dependencies_and_prefers_the_longest_chain() {
        // 3 waits for 2 for 1; 0 stands alone and has the shortest chain.
        let dependencies = graph(&[&[], &[], &[1], &[2]]);
        let order = Mutex::new(Vec::new());
        let outcome = run::<()>(
            &dependencies,
            &[],
            1,
            |_| false,
            |unit| {
                order.lock().unwrap().push(unit);
                Ok(())
            },
        );
        assert!(outcome.failures.is_empty());
        assert_eq!(order.into_inner().unwrap(), [1, 2, 0, 3]);
    }

    #[test]
    fn what_takes_long_goes_before_a_longer_chain_of_short_ones() {
        let dependencies = graph(&[&[], &[], &[1], &[2], &[]]);
        let order = |costs: &[u64]| {
            let order = Mutex::new(Vec::new());
            run::<()>(
                &dependencies,
                costs,
                1,
                |_| false,
                |unit| {
                    order.lock().unwrap().push(unit);
                    Ok(())
                },
            );
            order.into_inner().unwrap()
        };
        assert_eq!(order(&[9, 2, 2, 2]), [0, 1, 2, 3, 4]);
        assert_eq!(order(&[5, 2, 2, 2]), [1, 0, 2, 3, 4]);
        assert_eq!(order(&[5, 2, 2, 2, u64::MAX]), [4, 1, 0, 2, 3]);
    }

    #[test]
    fn long_chains_need_no_deep_stack() {
        let dependents: Vec<Vec<usize>> =
            (0..200_000).map(|unit| if unit < 199_999 { vec![unit + 1] } else { vec![] }).collect();
        assert_eq!(heights(&dependents, &[])[0], 200_000);
    }

    #[test]
    fn a_failure_stops_what_was_not_begun() {
        let dependencies = graph(&[&[], &[0], &[1]]);
        let ran = AtomicUsize::new(0);
        let outcome = run(
            &dependencies,
            &[],
            2,
            |_| false,
            |unit| {
                ran.fetch_add(1, Ordering::SeqCst);
                if unit == 1 { Err("no") } else { Ok(()) }
            },
        );
        assert_eq!(outcome.failures, [(1, "no")]);
        assert_eq!(ran.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn goes_on_with_what_does_not_depend_on_a_failure() {
        // 1 and what follows fail to come about; 3 and 4 do not depend on it.
        let dependencies = graph(&[&[], &[0], &[1], &[0], &[3], &[1, 4]]);
        let ran = Mutex::new(BTreeSet::new());
        let outcome = run(
            &dependencies,
            &[],
            2,
            |_| true,
            |unit| {
                ran.lock().unwrap().insert(unit);
                if unit == 1 { Err("no") } else { Ok(()) }
            },
        );
        assert_eq!(outcome.failures, [(1, "no")]);
        assert_eq!(ran.into_inner().unwrap(), [0, 1, 3, 4].into());
        // Some failures end all, even so.
        let outcome = run(&graph(&[&[], &[]]), &[], 1, |error| *error != 0, Err);
        assert_eq!(outcome.failures, [(0, 0)]);
    }

    #[test]
    fn uses_all_threads() {
        let dependencies = graph(&[&[], &[]]);
        let barrier = std::sync::Barrier::new(2);
        run::<()>(
            &dependencies,
            &[],
            2,
            |_| false,
            |_| {
                barrier.wait();
                Ok(())
            },
        );
        assert!(run::<()>(&[], &[], 2, |_| false, |_| Ok(())).failures.is_empty());
    }
}
