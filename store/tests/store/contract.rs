use std::sync::Arc;

use store::{
    EventLog, FileSnapshots, MemoryLog, MemorySnapshots, SledLog,
    contract::{self, Medium},
};
use tempfile::TempDir;

pub(crate) struct Memory(MemoryLog);

impl Memory {
    pub(crate) fn fresh() -> Memory {
        Memory(MemoryLog::new().unwrap())
    }
}

#[async_trait::async_trait]
impl Medium for Memory {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(self.0.clone())
    }
}

pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn fresh() -> Directory {
        Directory(tempfile::tempdir().unwrap())
    }
}

#[async_trait::async_trait]
impl Medium for Directory {
    async fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(SledLog::open(self.0.path()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    contract::log(Memory::fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_keeps_the_contract() {
    contract::log(Directory::fresh).await;
}

#[tokio::test]
async fn memory_snapshots_keep_the_contract() {
    let store = MemorySnapshots::default();
    contract::snapshots(|| store.clone()).await;
}

#[tokio::test]
async fn file_snapshots_keep_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract::snapshots(|| FileSnapshots::open(&dir.path().join("a/b")).unwrap()).await;
}
