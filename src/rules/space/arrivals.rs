//! The packets that reach a rule and match it.

use std::rc::Rc;

use super::sets::{Arrivals, Sets};
use super::walk::TableWalk;

/// The maximum number of jumps on the way to a rule for which only the packets of these jumps are followed.
const JUMPS: usize = 16;

impl Sets<'_> {
    /// The packets that reach rule `number` of `chain` and match it.
    pub fn arrivals(&self, table: &str, chain: &str, number: usize) -> Rc<Arrivals> {
        let key = self.key(table, chain, number);
        let known = key.and_then(|key| self.arrivals.borrow().get(&key).map(Rc::clone));
        known.unwrap_or_else(|| {
            let found = Rc::new(self.find(table, chain, number));
            key.and_then(|key| self.arrivals.borrow_mut().insert(key, Rc::clone(&found)));
            found
        })
    }

    fn key(&self, table: &str, chain: &str, number: usize) -> Option<[usize; 3]> {
        let place = self.listing.tables.iter().position(|one| one.name == table)?;
        let chains = &self.listing.tables[place].chains;
        Some([place, chains.iter().position(|one| one.name == chain)?, number])
    }

    fn find(&self, name: &str, chain: &str, number: usize) -> Arrivals {
        let mut arrivals = Arrivals { found: Vec::new(), is_all: true };
        let Some(table) = self.table(name) else { return arrivals };
        let Some(place) = table.chains.iter().position(|one| one.name == chain) else { return arrivals };
        let Some(own) = table.chains[place].rules.get(number - 1).and_then(|rule| rule.region.as_ref()) else {
            return arrivals;
        };
        for hook in table.hooks_of(place) {
            let mut walk = TableWalk::new(self, table);
            walk.wanted = Some((place, number - 1));
            let parts = self.space.universe(name, hook);
            let entries = table.entries(place, hook, JUMPS).unwrap_or_else(|| Rc::from([own.clone()]));
            let entries = entries.iter().filter_map(|entry| entry.intersection(own));
            for entry in entries {
                parts.iter().filter_map(|part| part.intersection(&entry)).for_each(|part| walk.begin(hook, part));
            }
            arrivals.is_all &= walk.is_done();
            arrivals.found.extend(walk.arrivals.into_iter().map(|region| (hook, region)));
        }
        arrivals
    }
}
