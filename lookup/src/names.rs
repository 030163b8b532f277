//! Names of tables.

/// What separates the name of a listener's routes from the names of the tables they are kept in.
pub const SEPARATOR: char = '#';

/// The table where a request of a listener with these routes begins.
pub fn root(routes: &str) -> String {
    format!("{routes}{SEPARATOR}root")
}

/// The listener's routes that a table is a part of; none if the name is not one of such a table.
pub fn routes_of(table: &str) -> Option<&str> {
    table.split_once(SEPARATOR).map(|(routes, _)| routes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_table_belongs_to_its_listeners_routes() {
        assert_eq!(super::routes_of(&super::root("http/80")), Some("http/80"));
        assert_eq!(super::routes_of("http/80"), None);
    }
}
