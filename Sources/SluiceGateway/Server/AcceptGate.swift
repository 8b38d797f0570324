internal import NIOCore

/// Has a listener accept no faster than the event loops take new sessions in. Else one loop accepts as fast as somebody
/// connects, and another finds hundreds of new sessions to set up before it looks at its own sockets again.
final class AcceptGate: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private var context: ChannelHandlerContext?
    private var isOpen = true
    private var isReadWanted = false

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func read(context: ChannelHandlerContext) {
        if isOpen { context.read() } else { isReadWanted = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let (own, other) = (context.eventLoop, unwrapInboundIn(data).eventLoop)
        isOpen = false
        context.fireChannelRead(data)
        let gate = NIOLoopBound(self, eventLoop: own)
        // NIO sets a session up in one turn of its loop, and registers its socket in a later one.
        other.submit {}.hop(to: own).flatMap { other.submit {} }.hop(to: own).whenComplete { _ in gate.value.takenIn() }
    }

    private func takenIn() {
        isOpen = true
        guard isReadWanted else { return }
        isReadWanted = false
        context?.read()
    }
}
