// One pion connection that obeys the signalling protocol of interop/README.md over standard input and output.
//
// `cargo xtask setup pion` builds it from the distribution's packages; the module file is there so that the path with a
// version in it is understood.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/pion/webrtc/v3"
)

// period and the two functions after it: as in the other languages, see the protocol.
const period = 65521

func binaryContents(size int, seed uint32) []byte {
	out := make([]byte, size)
	x := seed
	for i := range out {
		if i >= period {
			out[i] = out[i-period]
			continue
		}
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}

func textContents(size int, seed uint32) string {
	text, start := "", 0
	if size >= 3 {
		text, start = "€", 3
	}
	out := []byte(text)
	for i := start; i < size; i++ {
		out = append(out, byte(32+(int64(seed)+int64(i)*7)%95))
	}
	return string(out)
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

type object map[string]interface{}

var printing sync.Mutex

func report(event object) {
	line, err := json.Marshal(event)
	if err != nil {
		return
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(line))
}

// request has the arguments of every command.
type request struct {
	Request           int
	Do                string
	Media             []object
	Echo              bool
	Label             string
	Ordered           *bool
	MaxRetransmits    *uint16
	MaxPacketLifeTime *uint16
	Negotiated        *bool
	ID                *uint16
	Type              string
	SDP               string
	Candidate         *webrtc.ICECandidateInit
	Kind              string
	Size              int
	Seed              uint32
}

type peer struct {
	pc       *webrtc.PeerConnection
	gathered <-chan struct{}
	mutex    sync.Mutex
	channels map[string]*webrtc.DataChannel
}

func (p *peer) start(r request) error {
	if len(r.Media) > 0 {
		return errors.New("this peer has no media")
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	p.pc = pc
	p.gathered = webrtc.GatheringCompletePromise(pc)
	states := func() {
		connection, ice := pc.ConnectionState().String(), pc.ICEConnectionState().String()
		report(object{"event": "state", "connection": connection, "ice": ice})
	}
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { states() })
	pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { states() })
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			report(object{"event": "candidate", "candidate": nil})
			return
		}
		report(object{"event": "candidate", "candidate": candidate.ToJSON()})
	})
	pc.OnDataChannel(func(channel *webrtc.DataChannel) {
		report(object{
			"event": "channel", "label": channel.Label(), "id": channel.ID(), "ordered": channel.Ordered(),
			"maxRetransmits": channel.MaxRetransmits(), "maxPacketLifeTime": channel.MaxPacketLifeTime(),
			"protocol": channel.Protocol(),
		})
		p.adopt(channel, r.Echo)
	})
	return nil
}

func (p *peer) adopt(channel *webrtc.DataChannel, echo bool) {
	label := channel.Label()
	p.mutex.Lock()
	p.channels[label] = channel
	p.mutex.Unlock()
	channel.OnOpen(func() { report(object{"event": "open", "label": label}) })
	channel.OnClose(func() { report(object{"event": "channel-closed", "label": label}) })
	channel.OnMessage(func(message webrtc.DataChannelMessage) {
		kind := "binary"
		if message.IsString {
			kind = "text"
		}
		if echo {
			var err error
			if message.IsString {
				err = channel.SendText(string(message.Data))
			} else {
				err = channel.Send(message.Data)
			}
			if err != nil {
				report(object{"event": "failure", "reason": "echo: " + err.Error()})
			}
		}
		size := len(message.Data)
		report(object{"event": "message", "label": label, "kind": kind, "size": size, "sha256": hash(message.Data)})
	})
}

func (p *peer) describe(description webrtc.SessionDescription, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	if err := p.pc.SetLocalDescription(description); err != nil {
		return nil, err
	}
	return p.pc.LocalDescription(), nil
}

func (p *peer) send(r request) (interface{}, error) {
	p.mutex.Lock()
	channel := p.channels[r.Label]
	p.mutex.Unlock()
	if channel == nil {
		return nil, errors.New("there is no such channel")
	}
	if r.Kind == "text" {
		text := textContents(r.Size, r.Seed)
		return object{"sha256": hash([]byte(text))}, channel.SendText(text)
	}
	data := binaryContents(r.Size, r.Seed)
	return object{"sha256": hash(data)}, channel.Send(data)
}

func (p *peer) stats() object {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	channels := object{}
	for label, channel := range p.channels {
		channels[label] = channel.ReadyState().String()
	}
	// Nothing tells the version of DTLS.
	return object{
		"connection": p.pc.ConnectionState().String(), "ice": p.pc.ICEConnectionState().String(),
		"signaling": p.pc.SignalingState().String(), "dtls": p.pc.SCTP().Transport().State().String(),
		"channels": channels,
	}
}

func (p *peer) command(r request) (interface{}, error) {
	switch r.Do {
	case "new":
		return nil, p.start(r)
	case "channel":
		channel, err := p.pc.CreateDataChannel(r.Label, &webrtc.DataChannelInit{
			Ordered: r.Ordered, MaxRetransmits: r.MaxRetransmits, MaxPacketLifeTime: r.MaxPacketLifeTime,
			Negotiated: r.Negotiated, ID: r.ID,
		})
		if err == nil {
			p.adopt(channel, r.Echo)
		}
		return nil, err
	case "offer":
		return p.describe(p.pc.CreateOffer(nil))
	case "answer":
		return p.describe(p.pc.CreateAnswer(nil))
	case "gathered":
		<-p.gathered
		return p.pc.LocalDescription(), nil
	case "remote":
		description := webrtc.SessionDescription{Type: webrtc.NewSDPType(r.Type), SDP: r.SDP}
		return nil, p.pc.SetRemoteDescription(description)
	case "candidate":
		if r.Candidate == nil || r.Candidate.Candidate == "" {
			return nil, nil
		}
		return nil, p.pc.AddICECandidate(*r.Candidate)
	case "send":
		return p.send(r)
	case "close-channel":
		p.mutex.Lock()
		defer p.mutex.Unlock()
		return nil, p.channels[r.Label].Close()
	case "stats":
		return p.stats(), nil
	case "close":
		return nil, p.pc.Close()
	}
	return nil, fmt.Errorf("this peer knows no command %q", r.Do)
}

func main() {
	p := &peer{channels: map[string]*webrtc.DataChannel{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<16), 1<<26)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue
		}
		reply, err := p.command(r)
		if err != nil {
			report(object{"reply": r.Request, "error": err.Error()})
			continue
		}
		if reply == nil {
			reply = object{}
		}
		report(object{"reply": r.Request, "ok": reply})
	}
}
