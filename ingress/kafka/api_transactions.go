package kafka

import (
	"context"
	"regexp/syntax"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactionStates are the states that ListTransactions can filter by (KIP-664).
var transactionStates = []string{"CompleteAbort", "CompleteCommit", "Dead", "Empty", "Ongoing", "PrepareAbort", "PrepareCommit", "PrepareEpochFence"}

// listTransactions serves ListTransactions (KIP-664): without a transaction coordinator there
// are none.
func listTransactions(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.ListTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	if p := req.TransactionalIDPattern; p != nil {
		if _, err := syntax.Parse(*p, syntax.Perl); err != nil {
			resp.ErrorCode = kerr.InvalidRegularExpression.Code
			return resp
		}
	}
	seen := make(map[string]bool)
	for _, state := range req.StateFilters {
		if !seen[state] && !slices.Contains(transactionStates, state) {
			seen[state] = true
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, state)
		}
	}
	return resp
}

// describeTransactions serves DescribeTransactions (KIP-664).
func describeTransactions(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.DescribeTransactionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range req.TransactionalIDs {
		code := kerr.TransactionalIDNotFound.Code
		if id == "" {
			code = kerr.InvalidRequest.Code
		}
		resp.TransactionStates = append(resp.TransactionStates, kmsg.DescribeTransactionsResponseTransactionState{TransactionalID: id, ErrorCode: code})
	}
	return resp
}
