package memory

// Use is one thing that memory is charged to.
type Use struct {
	// Name is the label of its metrics, such as tail_index.
	Name string
	// Setting is the key that sets its limit. Where it is empty the limit follows from
	// other settings.
	Setting string
	// Mapped: the bytes are mapped apart and are not on the heap.
	Mapped bool
	// Holds says in a few words what the bytes are.
	Holds string
	// Full says what happens at the limit.
	Full string
}

// What a broker's memory is charged to. docs/operations.md has the table.
var (
	WriteCache = Use{"write_cache", "cache.write_cache_size_bytes", true,
		"groups of the WAL as they were written, for consumers at the tail and for uploads; what is free of it is lent to the WAL's buffers", "the oldest go"}
	WALBuffers = Use{"wal_buffers", "memory.wal_buffer_bytes", true,
		"groups of the WAL that are being written, or that readers hold", "producers wait; what readers hold is at most half, beyond that it is copied"}
	ReadCache = Use{"read_cache", "cache.read_cache_size_bytes", false,
		"blocks and indexes of objects, also those read ahead", "those that are asked for least go; nothing is read ahead"}
	ObjectReads = Use{"object_reads", "object_storage.read_memory_bytes", false,
		"reads of objects that consumers wait for, and what came when they had given up", "further reads wait; what nobody waits for goes"}
	TailIndex = Use{"tail_index", "memory.tail_index_bytes", false,
		"where the batches in the WAL are", "uploads begin early from half of it on; then producers wait for them"}
	Producers = Use{"producers", "producers.memory_bytes", false,
		"idempotent producers with their last batches, and snapshots of them on their way", "the longest idle are forgotten"}
	Connections = Use{"connections", "memory.connection_bytes", false,
		"connections and QUIC streams at what an idle one takes, what QUIC clients may have sent that is not read yet, and the buffers of the QUIC socket", "new ones are refused"}
	Requests = Use{"requests", "memory.request_budget_bytes", false,
		"requests from their arrival until they are answered; a sixteenth is for fetches that wait", "sockets are not read; fetches that wait are answered early"}
	Answers = Use{"answers", "memory.response_budget_bytes", false,
		"records of answers until they are sent", "fetches wait for their turn"}
	FetchSessions = Use{"fetch_sessions", "fetch.max_session_bytes", false,
		"partitions that consumers named once, in fetch sessions", "idle sessions go; new ones are refused, and their consumers name everything each time"}
	Groups = Use{"groups", "groups.max_metadata_bytes", false,
		"consumer groups, their members with metadata and assignments, and committed offsets with their metadata",
		"groups without members go, the one that was unused the longest first; where all have members, new ones are told to try again"}
	Compaction = Use{"compaction", "compaction.memory_bytes", false,
		"the index of keys of a compaction, what it reads, and the batch it works on", "it takes more passes"}
	Uploads = Use{"uploads", "", false,
		"buffers of objects on their way to the store", "`object_storage.upload_concurrency` of them at once"}
)

// Uses returns all of them in the order in which they are shown.
func Uses() []Use {
	return []Use{Connections, Requests, Answers, WriteCache, WALBuffers, TailIndex, Producers, ReadCache, ObjectReads, FetchSessions, Groups, Compaction, Uploads}
}

// Rest is what a process needs beside all that: the program itself, metadata and
// partitions, and what the collector has not found yet.
const Rest = 112 << 20
