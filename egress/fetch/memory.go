package fetch

// SessionMemory returns the bytes that fetch sessions take, and may take.
func (s *Server) SessionMemory() (used, limit int64) {
	return s.sessions.memory(), s.cfg.SessionBytes
}

// AnswerMemory returns the bytes of records in answers under way, and how many there
// may be.
func (s *Server) AnswerMemory() (used, limit int64) { return s.budget.InUse(), s.budget.Capacity() }
