//! In which order changed tables go to a proxy, so that a request is at every moment answered as before the edit
//! or as after it, although the proxy takes table by table.
//!
//! Of the domains that cover a host, the narrowest routes it. So domains come from narrow to wide, and go from wide
//! to narrow: the narrowest that covers a host is then the one of before until it is the one of after. What stays
//! and has other routes changes after narrower domains have come and before narrower ones go:
//!
//! ```text
//! exact:  come, change ─┐                             ┌─ go
//! *.b.c:   └ come, change ─┐                       ┌─ go
//! *:          └ come, change, go ──────────────────┘
//! ```
//!
//! Where a table takes part on both ways, it is sent with what comes and with what goes, and once more without the
//! latter. Steps that do not depend on each other are one push, and so are those that change one table only:
//! that the proxy takes as a whole. Splits and joins change where a domain is, not what it routes; their tables
//! are there before something leads to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lookup::{SEPARATOR, Step};
use proto::ArcStr;

use super::layout::{TableId, name};
use super::places::{EXACT, Level, Places, Wide, level};
use super::version::{Routed, TableVersion};

/// What a proxy has of a table.
#[derive(Clone, Debug)]
pub(crate) enum Had {
    Nothing,
    /// Something that this server does not know.
    Unknown,
    /// This version, or (if false) perhaps a later one that it was sent.
    Version(Arc<TableVersion>, bool),
}

/// Tables of a listener that a proxy does not have as they are now.
pub(crate) struct Change<'a> {
    /// Name of the listener's routes.
    pub(crate) routes: &'a str,
    /// What the proxy has.
    pub(crate) had: &'a dyn Fn(&str) -> Had,
    /// What there is.
    pub(crate) now: &'a dyn Fn(&str) -> Option<Arc<TableVersion>>,
    pub(crate) owed: Vec<Arc<TableVersion>>,
}

/// What goes out next.
#[derive(Debug, Default)]
pub(crate) struct Next {
    /// Tables that go, in these versions.
    pub(crate) tables: BTreeMap<ArcStr, Arc<TableVersion>>,
    /// Those of them that no request comes to yet.
    pub(crate) fresh: BTreeSet<ArcStr>,
}

/// How far the domains of a level are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    /// Those that go are still there.
    Both,
    After,
}

/// What an edit does to the domains of a level.
#[derive(Clone, Copy, Debug, Default)]
struct Difference {
    come: bool,
    change: bool,
    go: bool,
}

type Stages = BTreeMap<Level, Stage>;

struct Plan<'a> {
    change: &'a Change<'a>,
    before: Places,
    after: Places,
    /// Virtual hosts of the tables that have others than before.
    old: BTreeMap<ArcStr, Routed>,
    new: BTreeMap<ArcStr, Routed>,
    /// From narrow to wide.
    levels: BTreeMap<Reverse<Level>, Difference>,
    /// Those of the owed tables that requests come to.
    seen: BTreeSet<TableId>,
}

impl Change<'_> {
    /// The tables that may go out now, in any order.
    pub(crate) fn next(&self) -> Next {
        let plan = Plan::new(self);
        let count = plan.levels.len();
        let steps = (1..2 * count).rev().map(|step| plan.stages(step));
        for stages in steps {
            let next = plan.next(&stages);
            let seen = next.tables.len() - next.fresh.len();
            if !next.tables.is_empty() && (seen <= 1 || plan.is_free(&stages)) {
                return next;
            }
        }
        // Nothing about domains is another.
        plan.next(&Stages::new())
    }
}

impl Difference {
    /// True if domains come or go on the way to this stage.
    fn moves(self, stage: Stage) -> bool {
        match stage {
            Stage::Before => false,
            Stage::Both => self.come,
            Stage::After => self.come || self.go,
        }
    }

    fn differs(self, stage: Stage) -> bool {
        self.moves(stage) || (self.change && stage != Stage::Before)
    }
}

impl<'a> Plan<'a> {
    fn new(change: &'a Change<'a>) -> Self {
        let mut plan = Plan {
            change,
            before: Places::Root,
            after: Places::Root,
            old: BTreeMap::new(),
            new: BTreeMap::new(),
            levels: BTreeMap::new(),
            seen: BTreeSet::new(),
        };
        let (root, wildcard) = (&TableId::Root, &TableId::Wildcard);
        plan.before = Places::of(plan.had(root).as_deref(), plan.had(wildcard).as_deref());
        plan.after = Places::of(plan.now(root).as_deref(), plan.now(wildcard).as_deref());
        plan.find_seen();
        plan.compare_tables();
        plan.compare_places();
        let domains: BTreeSet<&ArcStr> = plan.old.keys().chain(plan.new.keys()).collect();
        for domain in domains {
            let difference = plan.levels.entry(Reverse(level(domain))).or_default();
            match (plan.old.get(domain), plan.new.get(domain)) {
                (Some(old), Some(new)) => difference.change |= old.body != new.body,
                (old, new) => {
                    difference.come |= new.is_some();
                    difference.go |= old.is_some();
                }
            }
        }
        plan.levels.retain(|_, difference| difference.differs(Stage::After));
        plan
    }

    /// The version that the proxy has; that of now if it is not known.
    fn had(&self, id: &TableId) -> Option<Arc<TableVersion>> {
        match (self.change.had)(&name(self.change.routes, id)) {
            Had::Nothing => None,
            Had::Unknown => self.now(id),
            Had::Version(table, _) => Some(table),
        }
    }

    fn now(&self, id: &TableId) -> Option<Arc<TableVersion>> {
        (self.change.now)(&name(self.change.routes, id))
    }

    fn is_seen(&self, id: &TableId) -> bool {
        self.seen.contains(id)
    }

    /// Finds the owed tables that requests come to as things are.
    fn find_seen(&mut self) {
        let mut paths: BTreeMap<&ArcStr, BTreeSet<String>> = BTreeMap::new();
        for table in &self.change.owed {
            let name = name(self.change.routes, &table.id);
            if matches!((self.change.had)(&name), Had::Nothing) {
                continue;
            }
            let is_seen = match &table.id {
                TableId::Paths(domain, _) => {
                    let tables = paths.entry(domain).or_insert_with(|| self.paths(domain));
                    tables.contains(&name)
                }
                id => self.before.has(id),
            };
            if is_seen {
                self.seen.insert(table.id.clone());
            }
        }
    }

    /// The tables that a domain's requests are led to by their paths.
    fn paths(&self, domain: &ArcStr) -> BTreeSet<String> {
        let home = self.before.home(domain).and_then(|home| self.had(&home));
        let hosts = home.iter().flat_map(|home| &home.hosts).filter(|host| host.domain == *domain);
        hosts.filter_map(|host| host.step.as_ref()).flat_map(|step| step.targets()).collect()
    }

    /// Finds the virtual hosts of tables that have others than before, and the levels of those that do not.
    fn compare_tables(&mut self) {
        for table in &self.change.owed {
            let had = self.is_seen(&table.id).then(|| self.had(&table.id)).flatten();
            let single = match &table.id {
                TableId::Paths(domain, _) => Some(level(domain)),
                id => level_of(id),
            };
            let domains = |table: &TableVersion| -> Vec<ArcStr> {
                table.hosts.iter().map(|host| host.domain.clone()).collect()
            };
            match (single, had) {
                (Some(level), Some(had)) if domains(&had) == domains(table) => {
                    self.levels.entry(Reverse(level)).or_default().change = true;
                }
                _ if matches!(table.id, TableId::Paths(..)) => {}
                (_, had) => {
                    self.old.extend(had.iter().flat_map(|had| had.routed()));
                    self.new.extend(table.routed());
                }
            }
        }
    }

    /// Notes levels whose domains are in other tables, and the virtual hosts of these.
    fn compare_places(&mut self) {
        if self.before == self.after {
            return;
        }
        let (before, after) = (self.before.tables(), self.after.tables());
        for id in before.difference(&after) {
            let had = self.had(id);
            self.old.extend(had.iter().flat_map(|had| had.routed()));
        }
        for id in after.difference(&before) {
            let now = self.now(id);
            self.new.extend(now.iter().flat_map(|now| now.routed()));
        }
        let (Places::Tables { exact: e1, wide: w1 }, Places::Tables { exact: e2, wide: w2 }) =
            (&self.before, &self.after)
        else {
            return;
        };
        if e1 != e2 {
            self.levels.entry(Reverse(EXACT)).or_default().change = true;
        }
        if let (Wide::Apart(before), Wide::Apart(after)) = (w1, w2) {
            for level in
                before.keys().chain(after.keys()).filter(|level| before.get(level) != after.get(level))
            {
                self.levels.entry(Reverse(*level)).or_default().change = true;
            }
        }
    }

    /// The stages after so many steps: one for each level on the way down to `*`, one for each but the last on
    /// the way back.
    fn stages(&self, step: usize) -> Stages {
        let count = self.levels.len();
        let stage = |(index, (Reverse(level), _)): (usize, (&Reverse<Level>, &Difference))| {
            let stage = match (index < step, index + step + 1 >= 2 * count) {
                (_, true) => Stage::After,
                (true, _) => Stage::Both,
                (false, _) => Stage::Before,
            };
            (*level, stage)
        };
        self.levels.iter().enumerate().map(stage).collect()
    }

    /// True if the way to these stages may be taken in any order: no domain comes or goes that is narrower than
    /// something else that changes.
    fn is_free(&self, stages: &Stages) -> bool {
        let mut is_wider = false;
        self.levels.iter().rev().all(|(Reverse(level), difference)| {
            let is_free = !(is_wider && difference.moves(stages[level]));
            is_wider |= difference.differs(stages[level]);
            is_free
        })
    }

    /// The tables that are not as these stages want them.
    fn next(&self, stages: &Stages) -> Next {
        let places = self.places(stages);
        let mut next = Next::default();
        for table in &self.change.owed {
            let name = ArcStr::from(name(self.change.routes, &table.id));
            let had = (self.change.had)(&name);
            let wanted = match &had {
                Had::Unknown => Some(Arc::clone(table)),
                _ => self.wanted(table, stages, &places),
            };
            let Some(wanted) = wanted else { continue };
            if matches!(&had, Had::Version(had, true) if had.version == wanted.version) {
                continue;
            }
            if !self.is_seen(&table.id) {
                next.fresh.insert(name.clone());
            }
            next.tables.insert(name, wanted);
        }
        next
    }

    fn stage(&self, stages: &Stages, level: Level) -> Stage {
        stages.get(&level).copied().unwrap_or(Stage::After)
    }

    /// Where domains are at these stages.
    fn places(&self, stages: &Stages) -> Places {
        let all = |wanted: Stage| stages.values().all(|stage| *stage == wanted);
        if all(Stage::After) {
            return self.after.clone();
        }
        let (Places::Tables { exact: e1, wide: w1 }, Places::Tables { exact: e2, wide: w2 }) =
            (&self.before, &self.after)
        else {
            return Places::Root;
        };
        let exact = if self.stage(stages, EXACT) == Stage::Before { e1 } else { e2 };
        let all_wide =
            |wanted: Stage| stages.iter().all(|(level, stage)| *level == EXACT || *stage == wanted);
        let wide = match (w1, w2) {
            (Wide::Apart(before), Wide::Apart(after)) => Wide::Apart(self.levels_at(stages, before, after)),
            _ if all_wide(Stage::After) => w2.clone(),
            _ if all_wide(Stage::Before) => w1.clone(),
            _ => Wide::Together,
        };
        Places::Tables { exact: exact.clone(), wide }
    }

    fn levels_at(
        &self,
        stages: &Stages,
        before: &BTreeMap<Level, lookup::Leaves>,
        after: &BTreeMap<Level, lookup::Leaves>,
    ) -> BTreeMap<Level, lookup::Leaves> {
        let all: BTreeSet<Level> = before.keys().chain(after.keys()).copied().collect();
        let leaves = |level: Level| {
            let (before, after) = (before.get(&level), after.get(&level));
            let leaves = match self.stage(stages, level) {
                Stage::Before => before,
                Stage::Both => after.or(before),
                Stage::After => after,
            };
            Some((level, leaves?.clone()))
        };
        all.into_iter().filter_map(leaves).collect()
    }

    /// A table as these stages want it; none if it stays as it is.
    fn wanted(
        &self,
        table: &Arc<TableVersion>,
        stages: &Stages,
        places: &Places,
    ) -> Option<Arc<TableVersion>> {
        let is_seen = self.is_seen(&table.id);
        match &table.id {
            TableId::Root if *places == Places::Root => self.together(table, stages, |_| true),
            TableId::Root => {
                let waits = self.stage(stages, EXACT) == Stage::Before && !is_same(&self.before, &self.after);
                (!waits).then(|| Arc::clone(table))
            }
            TableId::Wildcard => self.wildcard(table, stages, places),
            TableId::Paths(domain, _) if is_seen => {
                (self.stage(stages, level(domain)) != Stage::Before).then(|| Arc::clone(table))
            }
            id => match (level_of(id), is_seen) {
                (Some(level), true) => match self.stage(stages, level) {
                    Stage::Before => None,
                    Stage::Both => Some(self.union(table)),
                    Stage::After => Some(Arc::clone(table)),
                },
                (Some(level), false) if self.is_led_to_early(level) => {
                    let is_after = self.stage(stages, level) == Stage::After;
                    Some(if is_after { Arc::clone(table) } else { self.union(table) })
                }
                _ => Some(Arc::clone(table)),
            },
        }
    }

    /// True if tables of a level are led to as soon as its domains come.
    fn is_led_to_early(&self, level: Level) -> bool {
        match (&self.before, &self.after) {
            (Places::Tables { wide: w1, .. }, Places::Tables { wide: w2, .. }) => {
                level == EXACT || matches!((w1, w2), (Wide::Apart(_), Wide::Apart(_)))
            }
            _ => false,
        }
    }

    fn wildcard(
        &self,
        table: &Arc<TableVersion>,
        stages: &Stages,
        places: &Places,
    ) -> Option<Arc<TableVersion>> {
        let wide_of = |places: &Places| match places {
            Places::Tables { wide, .. } => Some(wide.clone()),
            Places::Root => None,
        };
        let wide = match wide_of(places) {
            Some(wide) if self.is_seen(&table.id) => wide,
            _ => return Some(Arc::clone(table)),
        };
        match wide {
            Wide::Together => self.together(table, stages, |level| level != EXACT),
            wide if Some(&wide) == wide_of(&self.after).as_ref() => Some(Arc::clone(table)),
            wide if Some(&wide) == wide_of(&self.before).as_ref() => None,
            Wide::Apart(levels) => {
                let name = name(self.change.routes, &table.id);
                let rest = self::name(self.change.routes, &TableId::Any);
                let step = if levels.is_empty() {
                    Step::Table(rest)
                } else {
                    let prefix = format!("{}{SEPARATOR}wildcard/", self.change.routes);
                    Step::Suffixes { prefix, levels: levels.into_iter().rev().collect(), rest }
                };
                Some(Arc::new(table.with(&name, [], Some(step))))
            }
        }
    }

    /// A table that has the domains of several levels.
    fn together(
        &self,
        table: &Arc<TableVersion>,
        stages: &Stages,
        has: impl Fn(Level) -> bool,
    ) -> Option<Arc<TableVersion>> {
        let mine = stages.iter().filter(|(level, _)| has(**level));
        if mine.clone().all(|(_, stage)| *stage == Stage::After) {
            return Some(Arc::clone(table));
        }
        let mut hosts = BTreeMap::new();
        let there = |domain: &ArcStr, stages_with: [Stage; 2]| {
            let level = level(domain);
            has(level) && stages_with.contains(&self.stage(stages, level))
        };
        let old = self.old.iter().filter(|(domain, _)| there(domain, [Stage::Before, Stage::Both]));
        let new = self.new.iter().filter(|(domain, _)| there(domain, [Stage::Both, Stage::After]));
        // What stays is as after the edit.
        hosts.extend(old.chain(new).map(|(domain, host)| (domain.clone(), host.clone())));
        Some(Arc::new(table.with(&name(self.change.routes, &table.id), hosts, None)))
    }

    /// A table with the domains that it will no longer have.
    fn union(&self, table: &Arc<TableVersion>) -> Arc<TableVersion> {
        let goes = |(domain, _): &(&ArcStr, &Routed)| {
            !self.new.contains_key(*domain) && self.after.home(domain).as_ref() == Some(&table.id)
        };
        let going: Vec<_> = self.old.iter().filter(goes).collect();
        if going.is_empty() {
            return Arc::clone(table);
        }
        let going = going.into_iter().map(|(domain, host)| (domain.clone(), host.clone()));
        let name = name(self.change.routes, &table.id);
        Arc::new(table.with(&name, table.routed().chain(going), table.otherwise.clone()))
    }
}

/// True if exact domains are in the same tables.
fn is_same(one: &Places, other: &Places) -> bool {
    match (one, other) {
        (Places::Tables { exact: one, .. }, Places::Tables { exact: other, .. }) => one == other,
        (Places::Root, Places::Root) => true,
        _ => false,
    }
}

/// The level of a table's domains, if they are all of one.
fn level_of(id: &TableId) -> Option<Level> {
    match id {
        TableId::Hosts(_) => Some(EXACT),
        TableId::Suffixes(labels, _) => Some(*labels),
        TableId::Any => Some(0),
        _ => None,
    }
}
