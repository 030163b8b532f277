//! Statuses, written back to the objects that they speak of.
