// The auction, written plainly: net/http on both sides, one goroutine for each bidder.
//
// PORT says where to listen, BIDDERS (URLs, with commas between) whom to ask for a price.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"
)

const (
	poolConnections = 512
	keepAlive       = 60 * time.Second
	offerLife       = 300 * time.Second
	sellerShare     = 0.85
	maxBody         = 64 << 10
	maxTimeoutMS    = 5_000
)

type ping struct {
	Vertical   string          `json:"vertical"`
	Attributes json.RawMessage `json:"attributes"`
	TimeoutMS  int             `json:"timeout_ms"`
}

type bidRequest struct {
	PingID     string          `json:"ping_id"`
	CampaignID string          `json:"campaign_id"`
	Vertical   string          `json:"vertical"`
	Attributes json.RawMessage `json:"attributes"`
	Mode       string          `json:"mode"`
	Shares     int             `json:"shares"`
	TimeoutMS  int             `json:"timeout_ms"`
}

type bidAnswer struct {
	Price    float64 `json:"price"`
	Currency string  `json:"currency"`
}

type bid struct {
	index int
	price float64
	ok    bool
}

type leg struct {
	LegID string  `json:"leg_id"`
	Price float64 `json:"price"`
}

type offer struct {
	PingID    string    `json:"ping_id"`
	Status    string    `json:"status"`
	Price     float64   `json:"price"`
	Currency  string    `json:"currency"`
	Mode      string    `json:"mode"`
	Legs      []leg     `json:"legs"`
	ExpiresAt time.Time `json:"expires_at"`
}

type noOffer struct {
	PingID string `json:"ping_id"`
	Status string `json:"status"`
}

type auction struct {
	client  *http.Client
	bidders []string
}

// ask has one bidder name a price. A bidder that fails costs only its own bid.
func (a *auction) ask(ctx context.Context, index int, p *ping, pingID string) bid {
	none := bid{index: index}
	body, err := json.Marshal(bidRequest{
		PingID:     pingID,
		CampaignID: fmt.Sprintf("campaign-%d", index),
		Vertical:   p.Vertical,
		Attributes: p.Attributes,
		Mode:       "exclusive",
		Shares:     1,
		TimeoutMS:  p.TimeoutMS,
	})
	if err != nil {
		return none
	}
	request, err := http.NewRequestWithContext(
		ctx, http.MethodPost, a.bidders[index], bytes.NewReader(body))
	if err != nil {
		return none
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return none
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil || response.StatusCode != http.StatusOK {
		return none
	}
	var answer bidAnswer
	if json.Unmarshal(text, &answer) != nil || answer.Price <= 0 || answer.Currency != "USD" {
		return none
	}
	return bid{index: index, price: answer.Price, ok: true}
}

// collect gives every bid that came before the deadline.
func (a *auction) collect(ctx context.Context, p *ping, pingID string) []bid {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutMS)*time.Millisecond)
	defer cancel()
	came := make(chan bid, len(a.bidders))
	for index := range a.bidders {
		go func(index int) { came <- a.ask(ctx, index, p, pingID) }(index)
	}
	bids := make([]bid, 0, len(a.bidders))
	for range a.bidders {
		select {
		case one := <-came:
			if one.ok {
				bids = append(bids, one)
			}
		case <-ctx.Done():
			return bids
		}
	}
	return bids
}

func (a *auction) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var p ping
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(text, &p) != nil ||
		p.Vertical == "" || p.TimeoutMS < 1 || p.TimeoutMS > maxTimeoutMS {
		http.Error(w, "the ping cannot be read", http.StatusBadRequest)
		return
	}
	pingID := newID()
	bids := a.collect(r.Context(), &p, pingID)
	if len(bids) == 0 {
		answer(w, noOffer{PingID: pingID, Status: "no_offer"})
		return
	}
	sort.Slice(bids, func(i, j int) bool {
		if bids[i].price != bids[j].price {
			return bids[i].price > bids[j].price
		}
		return bids[i].index < bids[j].index
	})
	price := math.Round(bids[0].price*sellerShare*100) / 100
	answer(w, offer{
		PingID:    pingID,
		Status:    "offer",
		Price:     price,
		Currency:  "USD",
		Mode:      "exclusive",
		Legs:      []leg{{LegID: pingID + "-1", Price: price}},
		ExpiresAt: time.Now().UTC().Add(offerLife),
	})
}

func answer(w http.ResponseWriter, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// newID gives a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func main() {
	transport := &http.Transport{
		MaxIdleConns:        0, // no bound over all bidders
		MaxIdleConnsPerHost: poolConnections,
		IdleConnTimeout:     keepAlive,
		DisableCompression:  true,
	}
	handler := &auction{
		client:  &http.Client{Transport: transport},
		bidders: strings.Split(os.Getenv("BIDDERS"), ","),
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/ping", handler)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux))
}
