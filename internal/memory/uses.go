package memory

// Use is one thing that memory is used for.
type Use struct {
	// Name is the label of its metrics, such as tail_index.
	Name string
	// Setting is the key that sets its limit. If empty, the limit follows from other
	// settings.
	Setting string
	// Mapped: the bytes are mapped separately and not on the heap.
	Mapped bool
	// Holds describes the bytes in a few words.
	Holds string
	// Full says what happens at the limit.
	Full string
}

// The uses of a broker's memory. docs/operations.md has the table.
var (
	WriteCache = Use{"write_cache", "cache.write_cache_size_bytes", true,
		"WAL groups as they were written, for consumers at the tail and for uploads; free space is lent to the WAL's buffers", "the oldest are evicted"}
	WALBuffers = Use{"wal_buffers", "memory.wal_buffer_bytes", true,
		"WAL groups being written or held by readers", "producers wait; readers hold at most half, beyond that data is copied"}
	ReadCache = Use{"read_cache", "cache.read_cache_size_bytes", false,
		"blocks and indexes of objects, including read-ahead", "the least used are evicted; read-ahead stops"}
	ObjectReads = Use{"object_reads", "object_storage.read_memory_bytes", false,
		"object reads that consumers wait for, and data that arrived after they stopped waiting", "further reads wait; data that nobody waits for is dropped"}
	TailIndex = Use{"tail_index", "memory.tail_index_bytes", false,
		"the positions of batches in the WAL", "from half of it on, uploads start early; at the limit, producers wait for them"}
	Producers = Use{"producers", "producers.memory_bytes", false,
		"idempotent producers with their last batches, and their snapshots in transit", "those idle the longest are forgotten"}
	Connections = Use{"connections", "memory.connection_bytes", false,
		"connections and QUIC streams at the size of an idle one, the receive windows of QUIC clients, and the buffers of the QUIC socket", "new ones are refused"}
	Requests = Use{"requests", "memory.request_budget_bytes", false,
		"requests from arrival to response; a sixteenth is for waiting fetches", "sockets are not read; waiting fetches are answered early"}
	Answers = Use{"answers", "memory.response_budget_bytes", false,
		"records of responses until they are sent", "fetches wait for their turn"}
	FetchSessions = Use{"fetch_sessions", "fetch.max_session_bytes", false,
		"the partitions of fetch sessions", "idle sessions are evicted; new ones are refused, and their consumers send all partitions with each fetch"}
	Groups = Use{"groups", "groups.max_metadata_bytes", false,
		"consumer groups, their members' metadata and assignments, and committed offsets with their metadata",
		"groups without members are deleted, the least recently used first; if all have members, new ones are told to retry"}
	Compaction = Use{"compaction", "compaction.memory_bytes", false,
		"the key index of a compaction, what it reads, and the batch it works on", "it takes more passes"}
	Uploads = Use{"uploads", "", false,
		"buffers of objects being uploaded", "`object_storage.upload_concurrency` of them at once"}
)

// Uses returns all of them in display order.
func Uses() []Use {
	return []Use{Connections, Requests, Answers, WriteCache, WALBuffers, TailIndex, Producers, ReadCache, ObjectReads, FetchSessions, Groups, Compaction, Uploads}
}

// Rest is what a process needs besides all that: the program itself, metadata and
// partitions, and garbage that has not been collected yet.
const Rest = 112 << 20
